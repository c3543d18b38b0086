//! What the pipeline writes to: its topics and its warehouse tables, as the configuration names them.

use anyhow::{Context, bail};

use crate::broker::TopicSpec;
use crate::config::Config;
use crate::sink::load::Objects;
use crate::sink::table::{Kind, TargetTable, VERSION_COLUMN, warehouse_name};
use crate::sink::{Limits, Sink, control::ControlTable};
use crate::sql::{Pipeline, SqlType};
use crate::warehouse::setup::{TableContract, check_declared, declared_tables};
use crate::warehouse::stage::Stage;
use crate::warehouse::{self, Client};

/// The control table of the loads; the pipeline's scripts declare it.
pub(super) const CONTROL: &str = "SLUICEBOX_CONTROL";
/// The file format of the staged files; the pipeline's scripts declare it.
pub(super) const FILE_FORMAT: &str = "SLUICEBOX_PARQUET";

/// The largest raw record that a topic of ours takes, twice that and 64 KiB for rejected_events.
const RAW_BYTES: usize = 1_048_588;
const REJECTED_BYTES: usize = 2 * RAW_BYTES + (64 << 10);

/// The topics of a pipeline.
pub(super) fn topics(config: &Config, pipeline: &Pipeline) -> Vec<TopicSpec> {
    let spec = |name: &str, settings| TopicSpec {
        name: name.to_owned(),
        partitions: config.topics.partitions.cast_signed(),
        replication: i32::from(config.topics.replication),
        settings,
    };
    // Records carry the raw events' own times, so a shorter retention would delete what is late but still accepted.
    let retention = ("retention.ms", (41_u64 * 24 * 3600 * 1000).to_string());
    let rejected = vec![
        ("max.message.bytes", REJECTED_BYTES.to_string()),
        retention.clone(),
    ];
    let mut topics = vec![
        spec(&config.topics.raw, Vec::new()),
        spec(&config.topics.clean, vec![retention]),
        spec(&config.topics.rejected, rejected),
    ];
    // Compacted only: a key whose state left the topic by time would be counted from zero after a restart.
    topics.extend(
        pipeline
            .gold
            .iter()
            .map(|table| spec(&table.name, vec![("cleanup.policy", "compact".to_owned())])),
    );
    topics
}

/// The tables that the sink fills.
pub(super) fn targets(config: &Config, pipeline: &Pipeline) -> anyhow::Result<Vec<TargetTable>> {
    let mut tables = vec![TargetTable::append(
        &config.sink.clean_table,
        &config.topics.clean,
        pipeline.clean.columns().to_vec(),
    )?];
    let own = [
        &config.topics.raw,
        &config.topics.clean,
        &config.topics.rejected,
    ];
    for gold in &pipeline.gold {
        if own.contains(&&gold.name) || gold.name.eq_ignore_ascii_case(&config.sink.clean_table) {
            bail!(
                "gold/{}.sql has the name of a topic or table that is taken\nhint: rename the file, or change [topics] or sink.clean_table",
                gold.name
            );
        }
        let columns = gold.query.columns();
        let key: Vec<&str> = gold
            .query
            .key()
            .iter()
            .map(|at| columns[*at].name.as_str())
            .collect();
        tables.push(TargetTable::upsert(
            &gold.name,
            &gold.name,
            columns.to_vec(),
            &key,
        )?);
    }
    Ok(tables)
}

/// What the warehouse's tables have to take.
pub(super) fn contracts(tables: &[TargetTable]) -> Vec<TableContract> {
    let contract = |table: &TargetTable| {
        let columns = table
            .columns()
            .iter()
            .map(|column| (warehouse_name(column), column.sql_type.warehouse()));
        let version = matches!(table.kind(), Kind::Upsert { .. })
            .then(|| (VERSION_COLUMN.to_owned(), SqlType::BigInt.warehouse()));
        TableContract {
            name: table.name().to_owned(),
            columns: columns.chain(version).collect(),
        }
    };
    let control = [
        "TOPIC",
        "PARTITION_ID",
        "NEXT_OFFSET",
        "FENCE",
        "LOADS",
        "SOURCE",
        "TARGET",
    ]
    .map(|name| {
        let sql_type = match name {
            "TOPIC" | "SOURCE" | "TARGET" => "VARCHAR",
            "PARTITION_ID" => "NUMBER(10,0)",
            _ => "NUMBER(19,0)",
        };
        (name.to_owned(), sql_type.to_owned())
    });
    let control = TableContract {
        name: CONTROL.to_owned(),
        columns: control.to_vec(),
    };
    tables.iter().map(contract).chain([control]).collect()
}

/// Compares what will be written with what the pipeline's scripts declare; no warehouse is asked.
pub(super) fn check_scripts(pipeline: &Pipeline, tables: &[TargetTable]) -> anyhow::Result<()> {
    let declared = declared_tables(&pipeline.folder.join("warehouse"))?;
    Ok(check_declared(&declared, &contracts(tables))?)
}

/// The sink, with its client and its stage; nothing is sent yet.
pub(super) fn sink(config: &Config, tables: Vec<TargetTable>) -> anyhow::Result<Sink> {
    config.require_warehouse()?;
    let warehouse = warehouse::Config::from(&config.warehouse);
    let client = Client::new(&warehouse, &warehouse.read_key()?)?;
    // The sink tries again itself, and tells of it.
    let stage = Stage::open(&client.without_retries(), &warehouse).context("opening the stage")?;
    let objects = Objects {
        control: ControlTable::new(CONTROL),
        stage: warehouse.stage.to_uppercase(),
        file_format: FILE_FORMAT.to_owned(),
    };
    let limits = Limits {
        interval: config.sink.flush_interval,
        rows: config.sink.flush_rows,
        bytes: usize::try_from(config.sink.flush_bytes.bytes()).unwrap_or(usize::MAX),
    };
    Ok(Sink::new(&client, stage, objects, limits, tables))
}

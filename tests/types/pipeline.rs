//! A pipeline with a column of each type, and with a gold table of the extremes of each.

use super::contract::Contract;
use crate::support::kafka::unique;
use crate::support::pipeline::Pipeline;

/// The table of the clean events.
pub(super) const TABLE: &str = "TYPES";

const GRANTS: &str = "CREATE ROLE IF NOT EXISTS ${role};
GRANT ROLE ${role} TO USER ${user};
GRANT USAGE ON DATABASE ${database} TO ROLE ${role};
GRANT USAGE ON SCHEMA ${database}.${schema} TO ROLE ${role};
GRANT USAGE ON WAREHOUSE ${warehouse} TO ROLE ${role};
GRANT USAGE ON FILE FORMAT ${database}.${schema}.SLUICEBOX_PARQUET TO ROLE ${role};
GRANT ${stage_privileges} ON STAGE ${database}.${schema}.${stage} TO ROLE ${role};
GRANT SELECT, INSERT, UPDATE ON TABLE ${database}.${schema}.SLUICEBOX_CONTROL TO ROLE ${role};
GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ${database}.${schema}.{gold} TO ROLE ${role};
GRANT SELECT, INSERT ON TABLE ${database}.${schema}.TYPES TO ROLE ${role};";

/// The pipeline of the contract's types. The scripts of the control table and of the stage are those of every pipeline.
pub(super) fn of(contract: &Contract) -> Pipeline {
    let gold = unique("extremes").replace('-', "_");
    let types = &contract.types;
    let list = |item: &dyn Fn(&str, usize) -> String| {
        let items: Vec<_> = (types.iter().enumerate())
            .map(|(at, one)| item(&one.column(), at))
            .collect();
        items.join(",\n    ")
    };
    let raw = format!(
        "CREATE TABLE raw_events (event_id VARCHAR, kind VARCHAR,\n    {})",
        list(&|column, at| format!("{column} {}", types[at].sql))
    );
    let clean = format!(
        "SELECT event_id, kind,\n    {},\n    CAST(NULL AS VARCHAR) AS reject_reason FROM raw_events",
        list(&|column, _| column.to_owned())
    );
    let extremes = format!(
        "SELECT kind, COUNT(*) AS events,\n    {}\nFROM clean_events GROUP BY kind",
        list(&|column, _| format!("MIN({column}) AS min_{column}, MAX({column}) AS max_{column}"))
    );
    let objects = format!(
        "CREATE DATABASE IF NOT EXISTS ${{database}};
CREATE SCHEMA IF NOT EXISTS ${{database}}.${{schema}};
CREATE WAREHOUSE IF NOT EXISTS ${{warehouse}} WAREHOUSE_SIZE = XSMALL;
CREATE TABLE IF NOT EXISTS ${{database}}.${{schema}}.{TABLE} (EVENT_ID VARCHAR, KIND VARCHAR,\n    {});
CREATE TABLE IF NOT EXISTS ${{database}}.${{schema}}.{} (KIND VARCHAR, EVENTS NUMBER(19, 0) NOT NULL,\n    {},
    SLUICEBOX_VERSION NUMBER(19, 0) NOT NULL);",
        list(&|column, at| format!("{} {}", column.to_uppercase(), types[at].sql_type().warehouse())),
        gold.to_uppercase(),
        list(&|column, at| {
            let (column, warehouse) = (column.to_uppercase(), types[at].sql_type().warehouse());
            format!("MIN_{column} {warehouse}, MAX_{column} {warehouse}")
        }),
    );
    let pipeline = Pipeline::of_files([
        ("raw_events.sql", raw),
        ("clean_events.sql", clean),
        (&format!("gold/{gold}.sql"), extremes),
        ("warehouse/01_objects.sql", objects),
        (
            "warehouse/03_grants.sql",
            GRANTS.replace("{gold}", &gold.to_uppercase()),
        ),
    ]);
    Pipeline {
        key: "kind",
        event_id: "event_id",
        clean_table: TABLE,
        gold,
        ..pipeline
    }
}

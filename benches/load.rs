//! How many rows a second the sink appends, and upserts into a table that is large already, through an internal stage of the
//! mock warehouse; over real HTTP, both in this process. Prints JSON; the numbers of the README come from here.
//!
//! `./dev bench --bench load`, or with another number of rows: `SLUICEBOX_BENCH_ROWS=5000000 ./dev bench --bench load`.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use mock_warehouse::engine::Bindings;
use mock_warehouse::{Faults, MockWarehouse};
use sluicebox::broker::{NextOffset, Partition};
use sluicebox::keys::KeyPair;
use sluicebox::sink::buffer::Record;
use sluicebox::sink::control::ControlTable;
use sluicebox::sink::load::Objects;
use sluicebox::sink::table::TargetTable;
use sluicebox::sink::{Found, Limits, Sink};
use sluicebox::sql::SqlType;
use sluicebox::sql::types::Column;
use sluicebox::warehouse::stage::Stage;
use sluicebox::warehouse::{Client, Config};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ROWS: usize = 1_000_000;
/// Rows in a load.
const LOAD: usize = 500_000;

const SET_UP: [&str; 6] = [
    "CREATE DATABASE DB",
    "CREATE SCHEMA DB.S",
    "CREATE TABLE DB.S.SLUICEBOX_CONTROL (TOPIC VARCHAR NOT NULL, PARTITION_ID NUMBER(10,0) NOT NULL, \
     NEXT_OFFSET NUMBER(19,0) NOT NULL, FENCE NUMBER(19,0) NOT NULL, LOADS NUMBER(19,0) NOT NULL, SOURCE VARCHAR, TARGET VARCHAR)",
    "CREATE FILE FORMAT DB.S.SLUICEBOX_PARQUET TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE NULL_IF = ()",
    "CREATE STAGE DB.S.STAGE ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')",
    "CREATE TABLE DB.S.TEMPLATE (CUSTOMER_ID VARCHAR, EVENT_DATE DATE, PAGE_VIEWS NUMBER(19,0), CARTS NUMBER(19,0), \
     PURCHASES NUMBER(19,0), REVENUE NUMBER(28,2))",
];

fn columns() -> Vec<Column> {
    let revenue = SqlType::Decimal {
        precision: 28,
        scale: 2,
    };
    [
        ("customer_id", SqlType::Varchar),
        ("event_date", SqlType::Date),
        ("page_views", SqlType::BigInt),
        ("carts", SqlType::BigInt),
        ("purchases", SqlType::BigInt),
        ("revenue", revenue),
    ]
    .map(|(name, sql_type)| Column {
        name: name.to_owned(),
        sql_type,
    })
    .to_vec()
}

/// The mock warehouse on a port, set up; the configuration that reaches it.
async fn warehouse(pair: &KeyPair, server: &mut JoinSet<io::Result<()>>) -> (Config, Faults) {
    let key = pair.public_key_base64().parse().expect("a key of ours");
    let config = mock_warehouse::Config::new("BENCH").with_user("LOADER", "ACCOUNTADMIN", key);
    let mock = MockWarehouse::open(config).expect("an empty warehouse opens");
    let mut admin = mock.engine().admin();
    let tables =
        ["APPENDED", "UPSERTED"].map(|name| format!("CREATE TABLE DB.S.{name} LIKE DB.S.TEMPLATE"));
    let version = "ALTER TABLE DB.S.UPSERTED ADD COLUMN SLUICEBOX_VERSION NUMBER(19,0)".to_owned();
    let statements = SET_UP
        .map(str::to_owned)
        .into_iter()
        .chain(tables)
        .chain([version]);
    for sql in statements {
        let done = admin.execute(&sql, &Bindings::new()).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let faults = mock.faults().clone();
    server.spawn(mock.serve(listener, CancellationToken::new()));
    let config = Config {
        account: "BENCH".to_owned(),
        user: "LOADER".to_owned(),
        role: "ACCOUNTADMIN".to_owned(),
        database: "DB".to_owned(),
        schema: "S".to_owned(),
        warehouse: "COMPUTE_WH".to_owned(),
        stage: "STAGE".to_owned(),
        url: format!("http://{address}"),
        private_key_file: "unused.p8".into(),
        ..Config::default()
    };
    (config, faults)
}

fn partition(topic: &str) -> Partition {
    Partition {
        topic: topic.to_owned(),
        number: 0,
    }
}

async fn take_over(sink: &mut Sink) {
    let found = Found {
        source: "cluster=bench topic=bench".to_owned(),
        low: NextOffset::START,
    };
    let partitions: BTreeMap<_, _> = ["appended", "upserted"]
        .map(|topic| (partition(topic), found.clone()))
        .into();
    let claim = sink.claim(&partitions).expect("both topics have a table");
    for row in sink
        .loader()
        .raise(&claim)
        .await
        .expect("the fences are raised")
    {
        sink.assign(&row, row.next_offset).expect("both are ours");
    }
}

/// Pushes these offsets and loads them; rows a second, the writing of Parquet included.
async fn load(sink: &mut Sink, topic: &str, from: usize, rows: usize, keys: usize) -> f64 {
    // What Kafka would deliver: not part of what is measured.
    let records: Vec<(String, String)> = (from..from + rows).map(|at| record(at, keys)).collect();
    let began = Instant::now();
    let mut pushed = 0;
    while pushed < rows {
        for (at, (key, value)) in records.iter().enumerate().skip(pushed).take(LOAD) {
            let record = Record {
                offset: i64::try_from(from + at).expect("few rows"),
                timestamp_ms: 0,
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
            };
            sink.push(topic, 0, record, Instant::now())
                .expect("it is a row");
        }
        pushed = (pushed + LOAD).min(rows);
        let pending = sink.begin().expect("rows are written").expect("rows wait");
        let loaded = sink
            .loader()
            .load(&pending)
            .await
            .expect("the load succeeds");
        sink.settle(&pending, &loaded);
    }
    as_float(rows) / began.elapsed().as_secs_f64()
}

fn record(at: usize, keys: usize) -> (String, String) {
    let customer = at % keys;
    let key = format!(r#"{{"customer_id":"CUST_{customer}","event_date":"2026-11-22"}}"#);
    let value = format!(
        r#"{{"customer_id":"CUST_{customer}","event_date":"2026-11-22","page_views":{at},"carts":7,"purchases":2,"revenue":{}.25}}"#,
        at % 1000
    );
    (key, value)
}

fn as_float(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("fewer than 4 billion"))
}

fn sink(config: &Config, pair: &KeyPair) -> (Sink, Client) {
    let client = Client::new(config, pair).expect("the configuration is right");
    let stage = Stage::open(&client.without_retries(), config).expect("the stage is internal");
    let objects = Objects {
        control: ControlTable::new("SLUICEBOX_CONTROL"),
        stage: config.stage.clone(),
        file_format: "SLUICEBOX_PARQUET".to_owned(),
    };
    let limits = Limits {
        interval: Duration::from_secs(600),
        rows: LOAD,
        bytes: 1 << 30,
    };
    let key = ["customer_id", "event_date"];
    let tables = vec![
        TargetTable::append("appended", "appended", columns()).expect("the columns are right"),
        TargetTable::upsert("upserted", "upserted", columns(), &key)
            .expect("the columns are right"),
    ];
    (Sink::new(&client, stage, objects, limits, tables), client)
}

#[expect(clippy::print_stdout, reason = "stdout is the data")]
async fn measure() {
    let rows = std::env::var("SLUICEBOX_BENCH_ROWS")
        .map_or(ROWS, |text| text.parse().expect("a number of rows"));
    let pair = KeyPair::generate(2048).expect("2048 bits are enough");
    let mut server = JoinSet::new();
    let (config, faults) = warehouse(&pair, &mut server).await;
    let (mut sink, client) = sink(&config, &pair);
    take_over(&mut sink).await;
    let appended = load(&mut sink, "appended", 0, rows, rows).await;
    let filled = load(&mut sink, "upserted", 0, rows, rows).await;
    let upserted = load(&mut sink, "upserted", rows, rows, rows).await;
    for table in ["APPENDED", "UPSERTED"] {
        let answer = client
            .execute(&format!("SELECT COUNT(*) FROM {table}"))
            .await;
        let count = answer.expect("the table can be read").rows[0][0].clone();
        assert_eq!(count, Some(rows.to_string()), "{table}");
    }
    let before = faults.counters();
    let nothing = sink.begin().expect("nothing is written");
    assert!(
        nothing.is_none() && faults.counters() == before,
        "nothing new is no request"
    );
    println!(
        "{{\"rows\": {rows}, \"rows_in_a_load\": {LOAD}, \"appended_per_second\": {appended:.0}, \
         \"inserted_by_merge_per_second\": {filled:.0}, \"upserted_per_second\": {upserted:.0}}}"
    );
}

fn main() {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(16 << 20)
        .enable_all()
        .build()
        .expect("threads can be started")
        .block_on(measure());
}

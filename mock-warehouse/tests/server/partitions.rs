//! Large results in pieces.

use std::io::Read;

use axum::http::header;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::Warehouse;

#[tokio::test]
async fn a_large_result_comes_in_partitions_that_make_up_the_whole() {
    let warehouse = Warehouse::new().await;
    let rows = 20_000;
    let sql = format!(
        "SELECT seq4() AS n, 'a text of some length to fill the result' AS t FROM TABLE(GENERATOR(ROWCOUNT => {rows}))"
    );
    let first = warehouse.sql(&sql).await;
    let body = first.body();
    let meta = &body["resultSetMetaData"];
    assert_eq!(meta["numRows"], json!(rows));
    let partitions = meta["partitionInfo"].as_array().unwrap();
    assert!(partitions.len() > 2, "{partitions:?}");
    assert!(
        (100_000..110_000).contains(&partitions[0]["uncompressedSize"].as_u64().unwrap()),
        "{partitions:?}"
    );
    let link = first.headers[header::LINK].to_str().unwrap();
    for relation in ["first", "next", "last"] {
        assert!(link.contains(&format!("rel=\"{relation}\"")), "{link}");
    }

    let mut all = body["data"].as_array().unwrap().clone();
    assert_eq!(json!(all.len()), partitions[0]["rowCount"]);
    for (number, info) in partitions.iter().enumerate().skip(1) {
        let answer = warehouse
            .get(&format!("{}?partition={number}", first.handle()))
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(json!(answer.bytes.len()), info["compressedSize"]);
        let mut text = String::new();
        GzDecoder::new(answer.bytes.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
        let rows = body["data"].as_array().unwrap();
        assert_eq!(json!(rows.len()), info["rowCount"]);
        all.extend(rows.iter().cloned());
    }
    let mut numbers: Vec<u32> = all
        .iter()
        .map(|row| row[0].as_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..rows), "every row once");
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_refused() {
    let warehouse = Warehouse::new().await;
    let handle = warehouse.sql("SELECT 1").await.handle();
    assert_eq!(
        warehouse.get(&format!("{handle}?partition=0")).await.data(),
        json!([["1"]])
    );
    for asked in ["1", "9", "x", "-1"] {
        let answer = warehouse.get(&format!("{handle}?partition={asked}")).await;
        assert_eq!(answer.status, 400);
        let message = format!(
            "Invalid partition parameter. The partition must be long type parsable and between 0 and 0, but '{asked}' \
             is specified."
        );
        assert_eq!(
            answer.body(),
            json!({"code": "391922", "message": message, "sqlState": "22023", "statementHandle": handle})
        );
    }
}

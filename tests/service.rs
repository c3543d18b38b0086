//! `run` as a process: how it ends, and what it tells about itself.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::support::deployment::Deployment;
use crate::support::pipeline::Pipeline;
use crate::support::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// The fields of the log lines with this message.
fn logged(log: &str, message: &str) -> Vec<Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| line["fields"].clone())
        .filter(|fields| fields["message"] == message)
        .collect()
}

/// The whole numbers of a field of log lines, added up.
fn total(lines: &[Value], field: &str) -> u64 {
    let number = |line: &Value| line[field].as_u64();
    lines
        .iter()
        .map(|line| number(line).unwrap_or_else(|| panic!("{field} in {line}")))
        .sum()
}

#[test]
fn the_service_tells_of_its_work_and_ends_at_sigterm() {
    let deployment = Deployment::new("service", &Pipeline::customer_metrics());
    deployment.setup();
    deployment.done(&["generate", "--count", "400", "--seed", "7", "--quiet"]);
    let mut service = deployment.start(&["run"]);
    service.wait_ready();
    let judged = wait_until(LIMIT, || {
        total(&logged(&service.log(), "batch cleaned"), "consumed") >= 400
    });
    assert!(judged, "{}", service.log());
    let live = service.page("/health/live").unwrap();
    assert!(live.starts_with("HTTP/1.0 200"), "{live}");
    let metrics = service.page("/metrics").unwrap();
    assert!(metrics.contains("# TYPE sluicebox_"), "{metrics}");
    assert!(service.terminate().success());

    let lines = logged(&service.log(), "batch cleaned");
    let (clean, duplicates) = (total(&lines, "clean"), total(&lines, "duplicates"));
    assert!(clean > 0 && total(&lines, "ms") > 0, "{lines:?}");
    let rejected: u64 = lines.iter().map(|line| rejected(&line["rejected"])).sum();
    assert_eq!(clean + duplicates + rejected, 400, "{lines:?}");
}

/// The sum over the reasons, written as `{"reason": count, ...}`.
fn rejected(reasons: &Value) -> u64 {
    let reasons: BTreeMap<String, u64> = serde_json::from_str(reasons.as_str().unwrap()).unwrap();
    reasons.values().sum()
}

#[test]
fn the_service_is_not_ready_without_its_warehouse_and_ends_at_ctrl_c() {
    let deployment = Deployment::new("ctrl-c", &Pipeline::customer_metrics());
    deployment.done(&["setup", "kafka"]);
    // A server that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("warehouse.url=http://{}", silent.local_addr().unwrap());
    let mut service = deployment.start(&["--set", &url, "run"]);
    let served = wait_until(LIMIT, || {
        let page = service.page("/health/ready").unwrap_or_default();
        page.contains("clean: running") && page.contains("gold: running")
    });
    assert!(served, "{}", service.log());
    let ready = service.page("/health/ready").unwrap();
    assert!(ready.starts_with("HTTP/1.0 503"), "{ready}");
    let live = service.page("/health/live").unwrap();
    assert!(live.starts_with("HTTP/1.0 200"), "{live}");
    assert!(service.interrupt().success(), "{}", service.log());
}

//! Raw events in Kafka become rows in the warehouse's views, by the real binary.

use crate::support::deployment::Deployment;
use crate::support::pipeline::Pipeline;

#[test]
fn where_nothing_is_produced_nothing_is_sent_to_the_warehouse() {
    let deployment = Deployment::new("nothing", &Pipeline::customer_metrics());
    deployment.setup();
    let mut service = deployment.start(&["run"]);
    service.wait_ready();
    assert!(service.terminate().success());
    let loads = deployment.number("SELECT SUM(loads) FROM SLUICEBOX_CONTROL");
    assert_eq!(loads, 0);
}

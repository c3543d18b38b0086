//! The golden fixture on its way into the warehouse: exact totals after each step, and nothing that changes them again.

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::support::books::Books;
use crate::support::oracle::{GOLDEN_FIRST, golden_events, golden_gold};

const LIMIT: Duration = Duration::from_secs(120);

/// Everything that a load writes into the gold table.
const COLUMNS: [&str; 7] = [
    "customer_id",
    "event_date",
    "page_views",
    "add_to_cart_count",
    "purchase_count",
    "total_revenue",
    "sluicebox_version",
];

#[test]
fn the_golden_fixture_has_its_exact_totals_and_loading_it_again_changes_nothing() {
    let day = Utc::now().date_naive() - TimeDelta::days(2);
    let books = Books::open("golden");
    let [after_first, after_all] = golden_gold(day);
    let mut events = golden_events(day);
    let all = events.len();
    let rest = events.split_off(GOLDEN_FIRST);

    let mut service = books.deployment.start(&["run"]);
    produce(&books, events);
    books.await_loaded(&mut service, GOLDEN_FIRST);
    books.assert_gold(&after_first);
    produce(&books, rest);
    books.await_loaded(&mut service, all);
    books.assert_gold(&after_all);
    assert_eq!(after_all.len(), 5);
    let revenue = format!("(SELECT SUM(total_revenue) AS revenue FROM {})", books.gold);
    let revenue = books.deployment.texts(&["revenue"], &revenue);
    assert_eq!(revenue, [["702593.29"]]);

    let funnel_day = day - TimeDelta::days(1);
    let funnel = funnel_events(funnel_day);
    let all = all + funnel.len();
    produce(&books, funnel);
    books.await_loaded(&mut service, all);
    assert_golden_funnel(&books, funnel_day);
    assert!(service.terminate().success());

    assert_loading_again_changes_nothing(&books);
}

fn produce(books: &Books, events: Vec<(String, Vec<u8>)>) {
    let events = events.into_iter().map(|(key, value)| (Some(key), value));
    books.deployment.produce(events);
}

/// 65 views, 58 carts and 67 purchases of one day.
fn funnel_events(day: NaiveDate) -> Vec<(String, Vec<u8>)> {
    let types = [("PAGE_VIEW", 65), ("ADD_TO_CART", 58), ("PURCHASE", 67)];
    let mut events = Vec::new();
    for (event_type, count) in types {
        for number in 0..count {
            let value = serde_json::json!({
                "event_id": format!("{event_type}-{number}"),
                "customer_id": "CUST_1",
                "event_type": event_type,
                "amount": 10,
                "currency": "USD",
                "event_timestamp": format!("{day}T12:00:00"),
            });
            events.push(("CUST_1".to_owned(), value.to_string().into_bytes()));
        }
    }
    events
}

fn assert_golden_funnel(books: &Books, day: NaiveDate) {
    let columns = [
        "page_to_cart_rate",
        "cart_to_purchase_rate",
        "overall_conversion_rate",
    ];
    let from = format!("event_funnel WHERE event_date = '{day}'");
    assert_eq!(
        books.deployment.texts(&columns, &from),
        [["89.23", "115.52", "103.08"]]
    );
}

/// Three starts of the sink load nothing; and what is loaded again, because its position was set back, changes no row.
fn assert_loading_again_changes_nothing(books: &Books) {
    let deployment = &books.deployment;
    let tables = || {
        (
            books.sorted(&COLUMNS, &books.gold),
            books.sorted(&["event_id"], "KAFKA_EVENTS_SILVER"),
            books.sorted(
                &["topic", "partition_id", "next_offset"],
                "SLUICEBOX_CONTROL",
            ),
        )
    };
    let loads = || deployment.number("SELECT SUM(loads) AS loads FROM SLUICEBOX_CONTROL");
    let (before, loads_before) = (tables(), loads());
    for _ in 0..3 {
        let mut sink = deployment.start(&["run", "sink"]);
        sink.wait_ready();
        assert!(sink.terminate().success());
    }
    assert_eq!((tables(), loads()), (before.clone(), loads_before));

    let set_back = format!(
        "UPDATE SLUICEBOX_CONTROL SET next_offset = 0 WHERE topic = '{}'",
        books.gold
    );
    for _ in 0..3 {
        deployment.done(&["query", &set_back]);
        let mut sink = deployment.start(&["run", "sink"]);
        sink.wait_for("the rows are loaded again", LIMIT, |sink| {
            sink.metric("sluicebox_load_rows_total") > 0
        });
        assert!(sink.terminate().success());
    }
    assert_eq!(tables(), before);
    assert!(loads() > loads_before);
}

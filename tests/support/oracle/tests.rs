use std::collections::BTreeMap;

use chrono::NaiveDate;
use sluicebox::generate::{Events, Options, Ratio};

use super::verdict::cents;
use super::views::money;
use super::*;

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 2, 24).unwrap()
}

fn event(customer: &str, event_type: EventType, cents: i64, time: &str) -> CleanEvent {
    CleanEvent {
        event_id: String::new(),
        customer_id: customer.to_owned(),
        event_type,
        cents,
        currency: "USD".to_owned(),
        event_timestamp: time.parse().unwrap(),
    }
}

fn clean(values: &[(String, Vec<u8>)]) -> Vec<CleanEvent> {
    let verdicts = judge(values.iter().map(|(_, value)| (0, value.as_slice())));
    verdicts
        .iter()
        .filter_map(Verdict::clean)
        .cloned()
        .collect()
}

#[test]
fn the_golden_events_make_the_golden_table_after_each_trigger() {
    let events = golden_events(day());
    assert_eq!(events.len(), 8_293);
    let clean = clean(&events);
    assert_eq!(
        clean.len(),
        events.len(),
        "all are valid and none comes twice"
    );
    assert!(
        clean
            .iter()
            .all(|event| event.event_timestamp.date() == day()
                && (1_000..=50_000).contains(&event.cents))
    );
    for ((key, _), event) in events.iter().zip(&clean) {
        assert_eq!(*key, event.customer_id);
    }
    let [first, second] = golden_gold(day());
    assert_eq!(gold(&clean[..GOLDEN_FIRST]), first);
    assert_eq!(gold(&clean), second);
    assert_eq!(second.len(), 5);
    let revenue =
        |rows: &BTreeMap<GoldKey, Metrics>| rows.values().map(|row| row.revenue_cents).sum();
    assert_eq!(money(revenue(&second)), "702593.29");
    assert_eq!(
        money(revenue(&first) + revenue(&second)),
        "719603.02",
        "what appending made of it"
    );
    assert_eq!(events, golden_events(day()));
}

#[test]
fn the_golden_funnel() {
    let types = [
        (EventType::PageView, 65),
        (EventType::AddToCart, 58),
        (EventType::Purchase, 67),
    ];
    let clean: Vec<_> = types
        .into_iter()
        .flat_map(|(event_type, count)| {
            vec![event("CUST_1", event_type, 1_000, "2026-02-24T10:00:00"); count]
        })
        .collect();
    let table = Views::new(&clean, day().into()).event_funnel();
    assert_eq!(
        table.rows,
        [["2026-02-24", "65", "58", "67", "89.23", "115.52", "103.08"]]
    );
    assert_eq!(table.columns.len(), table.rows[0].len());
}

#[test]
fn a_divisor_of_zero_gives_zero_and_a_half_is_rounded_up() {
    let purchases: Vec<_> = [1_000, 1_001]
        .map(|cents| event("CUST_1", EventType::Purchase, cents, "2026-02-24T10:00:00"))
        .into_iter()
        .collect();
    let views = Views::new(&purchases, day().into());
    assert_eq!(
        views.event_funnel().rows,
        [["2026-02-24", "0", "0", "2", "0.00", "0.00", "0.00"]]
    );
    assert_eq!(
        views.daily_customer_revenue().rows,
        [["CUST_1", "2026-02-24", "20.01", "2", "0", "0", "10.01"]]
    );
}

#[test]
fn customers_rank_by_revenue_and_have_their_tier() {
    let clean = [
        event("CUST_1", EventType::AddToCart, 5_000, "2026-02-24T10:00:00"),
        event("CUST_2", EventType::Purchase, 49_999, "2026-02-24T10:00:00"),
        event("CUST_3", EventType::Purchase, 50_000, "2026-02-24T10:00:00"),
        event("CUST_3", EventType::Purchase, 50_000, "2026-02-25T10:00:00"),
        event("CUST_3", EventType::AddToCart, 1_000, "2026-02-25T10:00:00"),
        event("CUST_3", EventType::PageView, 1_000, "2026-02-26T10:00:00"),
        event("CUST_4", EventType::Purchase, 50_000, "2026-02-24T10:00:00"),
    ];
    let views = Views::new(&clean, day().into());
    let table = views.top_customers();
    assert_eq!(
        table.rows,
        [
            [
                "CUST_3", "1000.00", "2", "1", "1", "3", "500.00", "333.33", "200.00", "VIP"
            ],
            [
                "CUST_4", "500.00", "1", "0", "0", "1", "500.00", "500.00", "0.00", "Premium"
            ],
            [
                "CUST_2", "499.99", "1", "0", "0", "1", "499.99", "499.99", "0.00", "Regular"
            ],
            [
                "CUST_1", "0.00", "0", "0", "1", "1", "0.00", "0.00", "0.00", "New"
            ],
        ]
    );
    assert_eq!(table.columns.len(), table.rows[0].len());
    assert_eq!(
        views.real_time_customer_metrics().rows[3],
        [
            "CUST_3",
            "2026-02-25",
            "0",
            "1",
            "1",
            "500.00",
            "500.00",
            "13"
        ]
    );
}

#[test]
fn hourly_trends_have_the_current_hour_and_23_full_ones() {
    let clean = [
        event(
            "CUST_1",
            EventType::PageView,
            1_000,
            "2026-02-23T12:59:59.999999",
        ),
        event("CUST_1", EventType::PageView, 1_000, "2026-02-23T13:00:00"),
        event("CUST_1", EventType::Purchase, 1_234, "2026-02-24T12:00:00"),
        event("CUST_1", EventType::AddToCart, 1_000, "2026-02-24T12:10:00"),
        event("CUST_2", EventType::Purchase, 1_000, "2026-02-24T12:30:00"),
        event("CUST_2", EventType::PageView, 1_000, "2026-02-24T13:00:00"),
    ];
    let table = Views::new(&clean, "2026-02-24T12:34:56".parse().unwrap()).hourly_trends();
    assert_eq!(
        table.rows,
        [
            ["2026-02-24 12:00:00", "0", "1", "2", "22.34", "2"],
            ["2026-02-23 13:00:00", "1", "0", "0", "0.00", "1"]
        ]
    );
    assert_eq!(table.columns.len(), table.rows[0].len());
}

#[test]
fn a_verdict_is_the_label_or_the_fault() {
    let share = |share| Ratio::new(share).unwrap();
    let options = Options {
        bad_json: share(0.1),
        missing_id: share(0.1),
        ..Options::new(5, "2026-02-24T00:00:00Z".parse().unwrap())
    };
    let events: Vec<_> = Events::new(options).take(2_000).collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in judge(events.iter().map(|event| (0, event.value.as_slice()))) {
        let name = match verdict {
            Verdict::Clean(_) => "clean".to_owned(),
            Verdict::Rejected(reason) => reason,
            Verdict::Duplicate => "duplicate".to_owned(),
        };
        *counts.entry(name).or_default() += 1;
    }
    let names: Vec<_> = counts.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "amount",
            "clean",
            "currency",
            "customer_id",
            "event_id",
            "event_type",
            "json"
        ]
    );
    assert!((1_000..1_400).contains(&counts["clean"]), "{counts:?}");
}

#[test]
fn an_event_that_comes_again_is_a_duplicate_or_a_conflict_within_its_partition() {
    let events = golden_events(day());
    let (first, other) = (events[0].1.as_slice(), events[1].1.as_slice());
    let text = String::from_utf8(first.to_vec()).unwrap();
    let conflicting = text.replace(r#""currency":"USD""#, r#""currency":"EUR""#);
    let verdicts = judge([
        (0, first),
        (0, other),
        (0, first),
        (1, first),
        (0, conflicting.as_bytes()),
        (0, first),
    ]);
    assert!(
        verdicts[0].clean().is_some()
            && verdicts[1].clean().is_some()
            && verdicts[3].clean().is_some()
    );
    assert_eq!(verdicts[2], Verdict::Duplicate);
    for again in [&verdicts[4], &verdicts[5]] {
        assert_eq!(
            *again,
            Verdict::Rejected("conflicting_duplicate".to_owned())
        );
    }
}

#[test]
fn cents_are_read_from_the_digits() {
    for (amount, expected) in [
        ("12.50", 1250),
        ("12.5", 1250),
        ("12", 1200),
        ("0.07", 7),
        ("500.000", 50_000),
    ] {
        assert_eq!(cents(amount), expected, "{amount}");
    }
}

#[test]
fn columns_are_as_many_as_values() {
    let clean = clean(&golden_events(day()));
    let views = Views::new(&clean, day().and_hms_opt(23, 0, 0).unwrap());
    let tables: [Table; 5] = [
        views.event_funnel(),
        views.daily_customer_revenue(),
        views.real_time_customer_metrics(),
        views.top_customers(),
        views.hourly_trends(),
    ];
    for table in tables {
        assert!(!table.rows.is_empty());
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.len() == table.columns.len()),
            "{:?}",
            table.columns
        );
    }
}

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDateTime;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::*;

const MANY: usize = 100_000;

fn now() -> DateTime<Utc> {
    "2026-03-01T12:34:56.000789Z".parse().unwrap()
}

fn options() -> Options {
    Options::new(42, now())
}

fn ratio(share: f64) -> Ratio {
    Ratio::new(share).unwrap()
}

fn object(event: &Event) -> Map<String, Value> {
    serde_json::from_slice(&event.value).expect("an event is a JSON object")
}

/// The amount as it is written.
fn amount(event: &Event) -> String {
    #[derive(serde::Deserialize)]
    struct Amount<'a> {
        #[serde(borrow)]
        amount: &'a RawValue,
    }
    serde_json::from_slice::<Amount<'_>>(&event.value)
        .unwrap()
        .amount
        .get()
        .to_owned()
}

fn assert_share(count: usize, share: f64, tolerance: f64, what: &str) {
    let found = count as f64 / MANY as f64;
    assert!(
        (found - share).abs() <= tolerance,
        "{what}: {found}, not {share} within {tolerance}"
    );
}

#[test]
fn an_event_has_exactly_the_eight_fields_in_their_order_and_of_their_types() {
    for event in Events::new(options()).take(10_000) {
        let object = object(&event);
        let fields: Vec<_> = object.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            [
                "event_id",
                "customer_id",
                "event_type",
                "amount",
                "currency",
                "event_timestamp",
                "is_valid",
                "invalid_field"
            ]
        );
        for name in ["event_id", "event_type", "event_timestamp"] {
            assert!(object[name].is_string(), "{name}");
        }
        for name in ["customer_id", "currency", "invalid_field"] {
            assert!(object[name].is_string() || object[name].is_null(), "{name}");
        }
        assert!(object["amount"].is_number() && object["is_valid"].is_boolean());
    }
}

#[test]
fn event_types_and_customers_come_evenly() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for event in Events::new(Options {
        invalid: ratio(0.0),
        ..options()
    })
    .take(MANY)
    {
        for name in ["event_type", "customer_id"] {
            *counts
                .entry(object(&event)[name].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    }
    assert_eq!(counts.len(), EVENT_TYPES.len() + CUSTOMERS.len());
    for event_type in EVENT_TYPES {
        assert_share(counts[event_type], 1.0 / 3.0, 0.02, event_type);
    }
    for customer in CUSTOMERS {
        assert_share(counts[customer], 0.2, 0.01, customer);
    }
}

#[test]
fn a_quarter_is_invalid_with_exactly_the_labelled_field_spoiled() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for event in Events::new(options()).take(MANY) {
        let object = object(&event);
        let negative = object["amount"].as_f64().unwrap() < 0.0;
        let spoiled: Vec<_> = [
            ("customer_id", object["customer_id"].is_null()),
            (
                "event_type",
                !EVENT_TYPES.contains(&object["event_type"].as_str().unwrap()),
            ),
            ("amount", negative),
            ("currency", object["currency"].is_null()),
        ]
        .into_iter()
        .filter_map(|(field, spoiled)| spoiled.then_some(field))
        .collect();
        assert_eq!(object["is_valid"], spoiled.is_empty(), "{object:?}");
        assert_eq!(
            object["invalid_field"]
                .as_str()
                .into_iter()
                .collect::<Vec<_>>(),
            spoiled,
            "{object:?}"
        );
        for field in spoiled {
            *kinds.entry(field.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(kinds.len(), 4);
    assert_share(kinds.values().sum(), 0.25, 0.005, "invalid");
    for (kind, count) in kinds {
        assert_share(count, 0.0625, 0.003, &kind);
    }
}

#[test]
fn spoiled_values_are_those_of_the_reference_producer() {
    let mut wrong_types = HashSet::new();
    for event in Events::new(options()).take(MANY / 10) {
        let object = object(&event);
        let text = amount(&event);
        let number: f64 = text.parse().unwrap();
        if object["invalid_field"] == "amount" {
            assert!((-500.0..=-10.0).contains(&number), "{text}");
        } else {
            assert!((10.0..=500.0).contains(&number), "{text}");
            let (_, decimals) = text.split_once('.').expect("an amount has decimals");
            assert_eq!(decimals.len(), 2, "{text}");
        }
        if object["invalid_field"] == "event_type" {
            wrong_types.insert(object["event_type"].as_str().unwrap().to_owned());
        }
        assert!(object["currency"] == "USD" || object["invalid_field"] == "currency");
    }
    assert_eq!(wrong_types, WRONG_EVENT_TYPES.map(str::to_owned).into());
}

#[test]
fn the_invalid_share_can_be_anything_from_none_to_all() {
    for (share, valid) in [(0.0, true), (1.0, false)] {
        let events = Events::new(Options {
            invalid: ratio(share),
            ..options()
        });
        assert!(
            events
                .take(1_000)
                .all(|event| object(&event)["is_valid"] == valid),
            "{share}"
        );
    }
    let events = Events::new(Options {
        invalid: ratio(0.6),
        ..options()
    });
    let invalid = events
        .take(MANY)
        .filter(|event| object(event)["is_valid"] == false)
        .count();
    assert_share(invalid, 0.6, 0.005, "invalid");
}

#[test]
fn event_times_are_uniform_over_the_last_six_days() {
    let mut days = [0_usize; 6];
    for event in Events::new(options()).take(MANY) {
        let text = object(&event)["event_timestamp"]
            .as_str()
            .unwrap()
            .to_owned();
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f")
            .unwrap()
            .and_utc();
        assert!((now() - SPREAD..=now()).contains(&time), "{text}");
        let age = (now() - time).num_days().min(5);
        days[usize::try_from(age).unwrap()] += 1;
    }
    let expected = MANY as f64 / 6.0;
    let chi_square: f64 = days
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum();
    // p = 0.01 with five degrees of freedom.
    assert!(chi_square < 15.086, "{chi_square} {days:?}");
}

#[test]
fn a_time_is_written_as_python_writes_it_or_with_a_z() {
    for (time, zone, text) in [
        (
            "2026-02-24T07:15:02.123456Z",
            Zone::None,
            "2026-02-24T07:15:02.123456",
        ),
        (
            "2026-02-24T07:15:02.000050Z",
            Zone::None,
            "2026-02-24T07:15:02.000050",
        ),
        ("2026-02-24T07:15:02Z", Zone::None, "2026-02-24T07:15:02"),
        ("2026-02-04T00:00:00Z", Zone::Z, "2026-02-04T00:00:00Z"),
        (
            "2026-02-24T07:15:02.5Z",
            Zone::Z,
            "2026-02-24T07:15:02.500000Z",
        ),
    ] {
        assert_eq!(Time(time.parse().unwrap(), zone).to_string(), text);
    }
    for event in Events::new(Options {
        zone: Zone::Z,
        ..options()
    })
    .take(100)
    {
        assert!(
            object(&event)["event_timestamp"]
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
    }
}

#[test]
fn event_ids_are_version_4_and_all_different() {
    let mut seen = HashSet::new();
    for event in Events::new(options()).take(10_000) {
        let id: uuid::Uuid = object(&event)["event_id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert!(seen.insert(id), "{id}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let faulty = Options {
        bad_json: ratio(0.1),
        missing_id: ratio(0.1),
        oversize: ratio(0.01),
        oversize_bytes: 4096,
        ..options()
    };
    for options in [options(), faulty] {
        let first: Vec<_> = Events::new(options.clone()).take(2_000).collect();
        let again: Vec<_> = Events::new(options.clone()).take(2_000).collect();
        assert!(first == again);
        let other: Vec<_> = Events::new(Options {
            seed: 43,
            ..options
        })
        .take(2_000)
        .collect();
        assert!(first != other);
    }
}

#[test]
fn the_first_event_of_a_seed_stays_what_it_is() {
    let event = Events::new(options()).next().unwrap();
    assert_eq!(
        String::from_utf8(event.value).unwrap(),
        concat!(
            r#"{"event_id":"52671658-f9b2-4aa0-b042-b6bcd849e149","customer_id":"CUST_4","event_type":"ADD_TO_CART","#,
            r#""amount":324.61,"currency":"USD","event_timestamp":"2026-02-27T15:17:07.540181","#,
            r#""is_valid":true,"invalid_field":null}"#
        )
    );
}

#[test]
fn the_key_is_the_customer_and_java_clients_would_choose_the_same_partition() {
    let mut partitions: BTreeMap<&str, u32> = BTreeMap::new();
    for event in Events::new(options()).take(10_000) {
        assert_eq!(event.key, object(&event)["customer_id"].as_str());
        if let Some(key) = event.key {
            partitions.insert(key, (murmur2(key.as_bytes()) & 0x7fff_ffff) % 3);
        }
    }
    let expected = [
        ("CUST_1", 0),
        ("CUST_2", 1),
        ("CUST_3", 0),
        ("CUST_4", 0),
        ("CUST_5", 1),
    ];
    assert_eq!(partitions, expected.into());
}

#[test]
fn faults_come_in_their_shares_and_carry_no_label() {
    let options = Options {
        bad_json: ratio(0.02),
        oversize: ratio(0.01),
        missing_id: ratio(0.03),
        oversize_bytes: 2_000,
        ..options()
    };
    let (mut bad_json, mut oversize, mut missing_id, mut invalid) = (0, 0, 0, 0);
    for event in Events::new(options).take(MANY) {
        let Ok(Value::Object(object)) = serde_json::from_slice(&event.value) else {
            assert_eq!(event.value[0], b'{');
            bad_json += 1;
            continue;
        };
        let labelled = object["is_valid"] == false;
        invalid += usize::from(labelled);
        if let Some(padding) = object.get("padding") {
            assert!(padding.is_string() && event.value.len() == 2_000 && !labelled);
            oversize += 1;
        }
        if !object.contains_key("event_id") {
            assert!(object.len() == 7 && !labelled);
            missing_id += 1;
        }
    }
    assert_share(bad_json, 0.02, 0.002, "bad JSON");
    assert_share(oversize, 0.01, 0.0015, "oversize");
    assert_share(missing_id, 0.03, 0.002, "missing id");
    assert_share(invalid, 0.25 * 0.94, 0.005, "invalid");
}

#[test]
fn every_message_may_be_a_fault() {
    let all = Options {
        bad_json: ratio(0.5),
        missing_id: ratio(0.5),
        ..options()
    };
    for event in Events::new(all).take(1_000) {
        let object: Result<Map<String, Value>, _> = serde_json::from_slice(&event.value);
        assert!(object.is_err() || !object.unwrap().contains_key("event_id"));
    }
}

/// `org.apache.kafka.common.utils.Utils.murmur2`, written anew from its description as a second opinion.
fn murmur2(key: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(key.len()).unwrap();
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(MIX);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MIX) ^ word.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

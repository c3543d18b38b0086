//! Clocks and refusals; no warehouse is asked.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::*;
use crate::warehouse::Identity;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn refused() -> Error {
    Error::Unauthorized {
        code: "390144".into(),
        message: "JWT token is invalid.".into(),
        identity: Arc::new(Identity {
            account: "MYORG-ACCOUNT".into(),
            user: "KAFKA_SERVICE".into(),
            fingerprint: "SHA256:x".into(),
            public_key: "MII".into(),
        }),
        clock_ahead: None,
    }
}

#[test]
fn a_clock_that_is_off_by_more_than_a_minute_is_wrong() {
    let hours = 7_200;
    for (ours, says) in [
        (10_000, None),
        (10_060, None),
        (9_940, None),
        (10_061, Some("1m ahead of")),
        (10_000 + hours, Some("2h ahead of")),
        (10_000 - hours, Some("2h behind")),
    ] {
        let found = clock(Some(seconds_between(at(10_000), at(ours))));
        match says {
            None => assert!(found.is_ok(), "{ours}: {found:?}"),
            Some(says) => {
                let trouble = found.unwrap_err();
                assert!(trouble.found.contains(says), "{ours}: {trouble:?}");
                assert_eq!(trouble.fixes, ["timedatectl set-ntp true"]);
            }
        }
    }
    assert!(clock(None).is_ok());
}

#[test]
fn a_refused_token_names_the_clock_first() {
    let warehouse = warehouse::Config::default();
    let trouble = signed_in(Some(refused()), Some(-7200), &warehouse).unwrap_err();
    assert!(
        trouble
            .found
            .starts_with("this machine's clock is 2h behind"),
        "{trouble:?}"
    );
    assert_eq!(trouble.fixes, ["timedatectl set-ntp true"]);
    for skew in [None, Some(3)] {
        let trouble = signed_in(Some(refused()), skew, &warehouse).unwrap_err();
        assert_eq!(
            trouble.fixes[0],
            "USE ROLE ACCOUNTADMIN; ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY='MII';"
        );
        assert!(
            trouble.fixes[1].starts_with("[warehouse] account"),
            "{trouble:?}"
        );
    }
}

#[test]
fn a_refusal_for_another_reason_does_not_blame_the_key() {
    let Error::Unauthorized { identity, .. } = refused() else {
        panic!("it is refused")
    };
    let error = Error::Unauthorized {
        code: "390422".into(),
        message: "not allowed from this address".into(),
        identity,
        clock_ahead: None,
    };
    let trouble = signed_in(Some(error), None, &warehouse::Config::default()).unwrap_err();
    assert!(
        trouble
            .found
            .contains("not allowed from this address (390422)")
    );
    assert!(trouble.fixes[0].contains("NETWORK_POLICY"), "{trouble:?}");
}

#[test]
fn a_refusal_of_what_was_asked_is_no_refusal_of_the_token() {
    let rejected = |code: &str| Error::Rejected {
        code: code.into(),
        sql_state: None,
        message: "no".into(),
    };
    let warehouse = warehouse::Config::default();
    assert!(signed_in(None, None, &warehouse).is_ok());
    assert!(signed_in(Some(rejected("003001")), None, &warehouse).is_ok());
    for status in [302, 403, 404, 407] {
        let error = rejected(&format!("HTTP {status}"));
        assert!(
            signed_in(Some(error), None, &warehouse).is_err(),
            "{status}"
        );
    }
    let page = Error::Unreadable {
        reason: "it is a page".into(),
    };
    let trouble = signed_in(Some(page), None, &warehouse).unwrap_err();
    assert!(
        trouble.found.starts_with("no SQL API of Snowflake answers"),
        "{trouble:?}"
    );
    assert!(
        trouble.fixes.iter().any(|fix| fix.contains("proxy")),
        "{trouble:?}"
    );
}

#[test]
fn a_server_in_trouble_is_asked_again_and_no_setting_is_blamed() {
    let warehouse = warehouse::Config {
        account: "MYORG-ACCOUNT".into(),
        ..warehouse::Config::default()
    };
    let greeted = |status, code: Option<&str>| {
        let greeting = Greeting {
            status,
            code: code.map(Into::into),
            now: None,
        };
        reached(&warehouse, Ok(greeting), "sluicebox").0
    };
    for status in [429, 500, 502, 503, 504] {
        for code in [None, Some("390189")] {
            let trouble = greeted(status, code).unwrap_err();
            assert!(
                trouble.found.ends_with(&format!("HTTP {status}")),
                "{trouble:?}"
            );
            assert_eq!(
                trouble.fixes[0],
                "try again in a minute: sluicebox check warehouse"
            );
            assert!(
                !trouble.fixes.concat().contains("[warehouse]"),
                "{trouble:?}"
            );
        }
    }
    assert!(greeted(401, Some("390103")).is_ok());
    let stranger = greeted(302, None).unwrap_err();
    assert!(stranger.fixes[0].starts_with("[warehouse] account"));
}

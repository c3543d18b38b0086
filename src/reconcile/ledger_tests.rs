use super::*;

const REASON: &str = "amount_missing";

/// Four raw records of partition 0: clean, rejected, a duplicate, clean.
fn ledger(low: i64, window: u64) -> Ledger {
    let mut ledger = Ledger::new("raw", 10);
    ledger.open(0, low, low + 4, window);
    let fates = [
        Expected::Clean { value: 1 },
        Expected::Rejected(REASON),
        Expected::Duplicate,
        Expected::Clean { value: 4 },
    ];
    for (offset, fate) in (low..).zip(fates) {
        ledger.expect((0, offset), Some(b"raw"), fate);
    }
    ledger
}

/// What a right service makes of them.
fn right(ledger: &mut Ledger, low: i64) {
    ledger.clean((0, low), 1, "clean[0] 0");
    ledger.rejected((0, low + 1), Some(b"raw"), REASON, "rejected[0] 0");
    ledger.clean((0, low + 3), 4, "clean[0] 1");
}

fn kinds(differences: &Differences) -> Vec<Kind> {
    let kinds = differences.listed.iter().map(|difference| difference.kind);
    kinds.collect()
}

#[test]
fn what_is_right_adds_up() {
    let mut ledger = ledger(0, 100);
    right(&mut ledger, 0);
    // What lies before the log or behind the position is nobody's business.
    ledger.clean((0, 4), 9, "clean[0] 2");
    let (sums, differences) = ledger.close();
    assert_eq!(kinds(&differences), []);
    let expected = Sums {
        to: 4,
        consumed: 4,
        clean: 2,
        rejected: 1,
        duplicate: 1,
        ..Sums::default()
    };
    assert_eq!(sums, [expected]);
}

#[test]
fn each_kind_of_damage_is_named() {
    type Damage = fn(&mut Ledger);
    let table: [(&str, Damage, Kind); 11] = [
        (
            "a second clean record",
            |ledger| ledger.clean((0, 0), 1, ""),
            Kind::Doubled,
        ),
        (
            "a second rejected record",
            |ledger| ledger.rejected((0, 1), Some(b"raw"), REASON, ""),
            Kind::Doubled,
        ),
        (
            "in both topics",
            |ledger| ledger.rejected((0, 0), Some(b"raw"), "too_large", ""),
            Kind::Doubled,
        ),
        (
            "a clean event that is rejected too",
            |ledger| ledger.rejected((0, 0), Some(b"raw"), REASON, ""),
            Kind::Unexpected,
        ),
        (
            "a rejected event that is clean",
            |ledger| ledger.clean((0, 1), 1, ""),
            Kind::Unexpected,
        ),
        (
            "a duplicate that is clean",
            |ledger| ledger.clean((0, 2), 1, ""),
            Kind::Unexpected,
        ),
        (
            "a duplicate that is rejected",
            |ledger| ledger.rejected((0, 2), Some(b"raw"), REASON, ""),
            Kind::Unexpected,
        ),
        (
            "another partition",
            |ledger| ledger.clean((7, 0), 1, ""),
            Kind::Unexpected,
        ),
        (
            "no source",
            |ledger| ledger.without_source("", "no header"),
            Kind::Unexpected,
        ),
        (
            "other bytes",
            |ledger| ledger.rejected((0, 2), Some(b"other"), REASON, ""),
            Kind::Different,
        ),
        (
            "no bytes",
            |ledger| ledger.rejected((0, 2), None, REASON, ""),
            Kind::Different,
        ),
    ];
    for (what, damage, kind) in table {
        let mut ledger = ledger(0, 100);
        right(&mut ledger, 0);
        damage(&mut ledger);
        let (_, differences) = ledger.close();
        assert_eq!(kinds(&differences), [kind], "{what}");
    }
}

#[test]
fn another_value_or_reason_is_found() {
    let mut ledger = ledger(0, 100);
    ledger.clean((0, 0), 2, "");
    ledger.rejected((0, 1), Some(b"raw"), "another", "");
    ledger.clean((0, 3), 4, "");
    let (_, differences) = ledger.close();
    assert_eq!(kinds(&differences), [Kind::Different, Kind::Different]);
}

#[test]
fn what_is_nowhere_is_lost() {
    let (sums, differences) = ledger(0, 100).close();
    assert_eq!(kinds(&differences), [Kind::Lost; 3]);
    assert_eq!((sums[0].consumed, sums[0].duplicate), (4, 1));
}

#[test]
fn an_event_that_no_topic_takes_may_be_rejected() {
    let mut ledger = ledger(0, 100);
    ledger.rejected((0, 0), Some(b"raw"), "too_large", "");
    ledger.rejected((0, 1), Some(b"raw"), REASON, "");
    ledger.clean((0, 3), 4, "");
    let (sums, differences) = ledger.close();
    assert_eq!(kinds(&differences), []);
    assert_eq!((sums[0].clean, sums[0].rejected), (1, 2));
}

#[test]
fn where_the_raw_topic_has_lost_its_beginning_a_clean_event_may_be_a_duplicate() {
    // The window covers the first two of four.
    let mut lenient = ledger(10, 2);
    lenient.rejected((0, 11), Some(b"raw"), REASON, "");
    lenient.clean((0, 13), 4, "");
    let (sums, differences) = lenient.close();
    assert_eq!(kinds(&differences), []);
    assert_eq!((sums[0].duplicate, sums[0].judged_leniently), (2, 2));

    let mut conflicting = ledger(10, 2);
    right(&mut conflicting, 11);
    let (_, differences) = conflicting.close();
    assert!(differences.total > 0);

    let mut strict = ledger(10, 2);
    strict.clean((0, 10), 1, "");
    strict.rejected((0, 11), Some(b"raw"), REASON, "");
    let (_, differences) = strict.close();
    assert_eq!(
        kinds(&differences),
        [Kind::Lost],
        "the last lies behind the window"
    );
}

#[test]
fn what_is_older_than_the_outputs_has_expired() {
    let mut ledger = ledger(0, 100);
    // clean_events has lost its beginning, and its first record of this raw partition is the last one.
    ledger.truncated("clean", 0, (0, 3));
    ledger.clean((0, 3), 4, "");
    let (sums, differences) = ledger.close();
    assert_eq!(kinds(&differences), []);
    assert_eq!((sums[0].clean, sums[0].expired), (1, 2));
}

#[test]
fn what_was_in_an_output_that_was_emptied_has_expired_and_nothing_else() {
    let (clean, rejected) = (true, true);
    for (emptied, expired, lost) in [
        (Emptied { clean, rejected }, 3, 0),
        (
            Emptied {
                clean,
                rejected: false,
            },
            2,
            1,
        ),
        (
            Emptied {
                clean: false,
                rejected,
            },
            1,
            2,
        ),
    ] {
        let mut ledger = ledger(0, 100);
        ledger.emptied(emptied);
        let (sums, differences) = ledger.close();
        assert_eq!(kinds(&differences), vec![Kind::Lost; lost], "{emptied:?}");
        assert_eq!(sums[0].expired, expired, "{emptied:?}");
    }
}

#[test]
fn only_so_many_differences_are_listed() {
    let mut ledger = Ledger::new("raw", 2);
    ledger.open(0, 0, 5, 100);
    for offset in 0..5 {
        ledger.expect((0, offset), None, Expected::Clean { value: 1 });
    }
    let (_, differences) = ledger.close();
    assert_eq!((differences.total, differences.listed.len()), (5, 2));
}

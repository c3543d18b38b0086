use super::*;

const KEY: &[u8] = b"key";

/// The kinds of what differs, and the counts, when `expected` is to be found and `found` is there.
fn compared(truncated: bool, expected: Option<u128>, found: Option<u128>) -> (Vec<Kind>, Counts) {
    let expected = expected
        .map(|hash| (KEY.into(), hash))
        .into_iter()
        .collect();
    let mut newest = Newest::default();
    if found.is_some() {
        newest.rows.insert(KEY.into(), (7, found));
    }
    let gold = Partition {
        topic: "gold".to_owned(),
        number: 0,
    };
    let (mut counts, mut differences) = (Counts::default(), Differences::new(10));
    compare(
        &gold,
        truncated,
        &expected,
        &newest,
        &mut counts,
        &mut differences,
    );
    let kinds = differences.listed.iter().map(|one| one.kind);
    (kinds.collect(), counts)
}

#[test]
fn without_the_beginning_of_clean_events_no_row_can_be_wrong() {
    let table = [
        (Some(1), Some(1), None),
        (Some(1), Some(2), Some(Kind::Different)),
        (Some(1), None, Some(Kind::Lost)),
        (None, Some(1), Some(Kind::Unexpected)),
    ];
    for (expected, found, kind) in table {
        let (kinds, counts) = compared(false, expected, found);
        assert_eq!(kinds, Vec::from_iter(kind), "{expected:?} {found:?}");
        assert_eq!(counts.not_recomputed, 0);

        let (kinds, counts) = compared(true, expected, found);
        assert_eq!(kinds, [], "{expected:?} {found:?}");
        assert_eq!(counts.not_recomputed, u64::from(kind.is_some()));
    }
}

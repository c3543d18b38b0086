//! Local copies: with the end of the log they are the whole log; and whatever is wrong with one is found.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::definition::Definition;
use super::keep_tests::{days, log, pipeline, worked};
use super::snapshot::{Snapshots, Standing, Unusable};
use super::state::State;
use crate::broker::{Extent, NextOffset};
use crate::sql::Pipeline;

const TOPIC: &str = "cluster=c topic=t partitions=3";
const PARTITION: i32 = 2;

fn at(offset: usize) -> NextOffset {
    NextOffset::at(i64::try_from(offset).unwrap())
}

fn extent(end: usize) -> Extent {
    Extent {
        start: at(0),
        end: at(end),
    }
}

fn sorted(state: &State) -> Vec<(&[u8], &[u8])> {
    let mut entries: Vec<_> = state.entries().collect();
    entries.sort();
    entries
}

/// What a changelog of these headers comes to, read on top of a state.
fn read(mut state: State, headers: &[Vec<u8>]) -> State {
    for header in headers {
        state.restore(header).unwrap();
    }
    state.evict().unwrap();
    state
}

struct Case {
    pipeline: Arc<Pipeline>,
    definition: Definition,
    folder: TempDir,
    snapshots: Snapshots,
    /// The changelog.
    headers: Vec<Vec<u8>>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let pipeline = pipeline();
        let definition = days(&pipeline, "3d");
        let headers = worked(&pipeline, &definition, &log(seed, 300));
        let folder = TempDir::new().unwrap();
        Self {
            snapshots: Snapshots::new(folder.path(), 0),
            pipeline,
            definition,
            folder,
            headers,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("days/2.snapshot")
    }

    /// A copy of the state after the first `seen` records.
    fn save(&self, seen: usize) {
        let state = read(
            self.definition.empty_state().unwrap(),
            &self.headers[..seen],
        );
        let standing = Standing {
            start: at(0),
            next: at(seen),
        };
        self.snapshots
            .save(&self.definition, TOPIC, PARTITION, &state, standing)
            .unwrap();
    }

    fn load(&self) -> Result<Option<(State, NextOffset)>, Unusable> {
        let extent = extent(self.headers.len());
        self.snapshots
            .load(&self.definition, TOPIC, PARTITION, extent)
    }

    fn refused(&self) -> String {
        self.load().map(|_| ()).unwrap_err().to_string()
    }
}

#[test]
fn a_copy_and_the_end_of_the_log_are_the_whole_log() {
    for seed in 0..5 {
        let case = Case::new(seed);
        assert!(case.load().unwrap().is_none());
        let whole = read(case.definition.empty_state().unwrap(), &case.headers);
        for seen in (0..=case.headers.len()).step_by(37) {
            case.save(seen);
            let (copy, next) = case.load().unwrap().unwrap();
            assert_eq!(next, at(seen));
            // A position that is too low is none that is wrong.
            for from in [seen, seen / 2] {
                let copy = read(copy_of(&case, &copy), &case.headers[from..]);
                assert_eq!(
                    sorted(&copy),
                    sorted(&whole),
                    "seed {seed}, {from} of {seen}"
                );
                assert_eq!(copy.watermark(), whole.watermark());
                assert_eq!(copy.bytes(), whole.bytes());
            }
        }
    }
}

fn copy_of(case: &Case, state: &State) -> State {
    let mut copy = case.definition.empty_state().unwrap();
    state
        .entries()
        .for_each(|(key, state)| copy.put(key, state));
    copy.set_watermark(state.watermark());
    copy
}

#[test]
fn a_copy_that_is_cut_off_or_has_one_wrong_bit_anywhere_is_ignored() {
    let case = Case::new(7);
    case.save(case.headers.len());
    let whole = fs::read(case.file()).unwrap();
    assert!(whole.len() > 400);
    for length in 0..whole.len() {
        fs::write(case.file(), &whole[..length]).unwrap();
        assert!(case.load().is_err(), "{length} of {} bytes", whole.len());
    }
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        fs::write(case.file(), &flipped).unwrap();
        assert!(case.load().is_err(), "byte {byte} of {}", whole.len());
    }
    fs::write(case.file(), [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(case.load().is_err());
    fs::write(case.file(), &whole).unwrap();
    assert!(case.load().unwrap().is_some());
}

/// Changes bytes and mends the checksum.
fn forge(case: &Case, at: usize, bytes: &[u8]) {
    let mut file = fs::read(case.file()).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    let length = file.len() - 8;
    let sum = xxhash_rust::xxh3::xxh3_64(&file[..length]);
    file[length..].copy_from_slice(&sum.to_le_bytes());
    fs::write(case.file(), file).unwrap();
}

/// Where the fields behind the topic's identity begin.
const BEHIND_TOPIC: usize = 8 + 4 + 4 + TOPIC.len();

#[test]
fn a_copy_of_another_version_or_age_is_ignored_and_said_why() {
    let case = Case::new(8);
    case.save(case.headers.len());
    forge(&case, 8, &99_u32.to_le_bytes());
    assert_eq!(case.refused(), "it is of another version of the service");

    let written = BEHIND_TOPIC + 24 + 3 * 8;
    let now = std::time::SystemTime::now();
    let hours_from_now = |hours: i64| {
        let now = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis();
        i64::try_from(now).unwrap() + hours * 3_600_000
    };
    for hours in [-13, 14] {
        case.save(case.headers.len());
        forge(&case, written, &hours_from_now(hours).to_le_bytes());
        let said = case.refused();
        assert!(
            said.starts_with("it is 1") && said.ends_with(" h old"),
            "{said}"
        );
    }
    case.save(case.headers.len());
    forge(&case, written, &hours_from_now(-11).to_le_bytes());
    assert!(case.load().unwrap().is_some());
    // More keys than the file has.
    forge(&case, written + 8, &1_000_u64.to_le_bytes());
    assert!(case.load().is_err());
}

#[test]
fn a_copy_of_another_topic_query_or_keep_is_ignored_and_said_why() {
    let case = Case::new(9);
    case.save(case.headers.len());
    let load = |definition: &Definition, topic: &str| {
        let loaded = case
            .snapshots
            .load(definition, topic, PARTITION, extent(case.headers.len()));
        loaded.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(load(&case.definition, TOPIC), Ok(()));
    for topic in [
        "cluster=d topic=t partitions=3",
        "cluster=c topic=u partitions=3",
        "cluster=c topic=t partitions=4",
    ] {
        assert_eq!(
            load(&case.definition, topic),
            Err("it is of another topic".to_owned())
        );
    }
    // Keys that are between the two may have been let go of.
    let longer = days(&case.pipeline, "4d");
    let said = Err("it is of another query or keep".to_owned());
    assert_eq!(load(&longer, TOPIC), said);
    let folder = case.folder.path();
    fs::create_dir(folder.join("for_ever")).unwrap();
    fs::copy(case.file(), folder.join("for_ever/2.snapshot")).unwrap();
    let other = Definition::new(&case.pipeline, 1, None).unwrap();
    assert_eq!(load(&other, TOPIC), said);
}

#[test]
fn a_copy_whose_place_the_log_does_not_have_is_ignored_and_said_why() {
    let case = Case::new(10);
    case.save(50);
    for (start, end) in [(0, 49), (50, 60), (10, 60), (60, 60)] {
        let extent = Extent {
            start: at(start),
            end: at(end),
        };
        let loaded = case
            .snapshots
            .load(&case.definition, TOPIC, PARTITION, extent);
        let said = loaded.map(|_| ()).unwrap_err().to_string();
        let expected = "the topic no longer holds the records around its position";
        assert_eq!(said, expected, "log from {start} to {end}");
    }
    let exact = case
        .snapshots
        .load(&case.definition, TOPIC, PARTITION, extent(50));
    assert!(exact.unwrap().is_some());
}

#[test]
fn a_copy_that_cannot_be_written_leaves_the_one_before() {
    let case = Case::new(11);
    case.save(40);
    // A folder of the unfinished file's name is in the way.
    fs::create_dir(case.folder.path().join("days/2.unfinished-0")).unwrap();
    let state = case.definition.empty_state().unwrap();
    let standing = Standing {
        start: at(0),
        next: at(90),
    };
    let saved = case
        .snapshots
        .save(&case.definition, TOPIC, PARTITION, &state, standing);
    assert!(saved.is_err());
    assert_eq!(case.load().unwrap().unwrap().1, at(40));
}

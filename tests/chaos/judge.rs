//! What became of every raw record, held against what should have.

use std::collections::HashMap;
use std::fmt;

use crate::support::books::Books;
use crate::support::kafka::Record;
use crate::support::oracle::Verdict;
use crate::support::stream::NUMBER;

/// Differences that are listed; more of them are only counted.
const LISTED: usize = 20;

/// What is found in the topics.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) events: usize,
    pub(crate) clean: usize,
    pub(crate) rejected: usize,
    pub(crate) duplicates: usize,
    /// Events that should be somewhere and are nowhere.
    pub(crate) lost: usize,
    /// Events that are in the outputs more than once.
    pub(crate) doubled: usize,
    /// Events that are where they should not be.
    pub(crate) misplaced: usize,
    listed: Vec<String>,
}

impl Judgement {
    /// Whether every event is in its one place.
    pub(crate) fn is_exact(&self) -> bool {
        self.lost + self.doubled + self.misplaced == 0
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events,
            clean,
            rejected,
            duplicates,
            lost,
            doubled,
            misplaced,
            listed,
        } = self;
        write!(
            f,
            "{events} events = {clean} clean + {rejected} rejected + {duplicates} duplicates; {lost} lost, {doubled} doubled, {misplaced} misplaced"
        )?;
        listed.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Where copies of a raw record were found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Found {
    clean: u32,
    rejected: u32,
}

/// Compares where the raw records went, then the gold topic, the tables and the views, with the oracle's.
///
/// # Panics
/// If gold, tables or views differ.
pub(crate) fn judge(books: &Books) -> Judgement {
    let (judgement, judged) = find_differences(books);
    if judgement.is_exact() {
        let clean: Vec<_> = judged
            .iter()
            .filter_map(|(_, verdict)| verdict.clean().cloned())
            .collect();
        books.assert_hold(&clean);
    }
    judgement
}

/// Reads the three topics and looks for each raw record; answers with the oracle's verdicts too.
pub(crate) fn find_differences(books: &Books) -> (Judgement, Vec<(Record, Verdict)>) {
    let judged = books.judged();
    let found = find(books);
    let mut judgement = Judgement {
        events: judged.len(),
        ..Judgement::default()
    };
    for (record, verdict) in &judged {
        let found = found.get(&number(record)).copied().unwrap_or_default();
        let expected = match verdict {
            Verdict::Clean(_) => {
                judgement.clean += 1;
                Found {
                    clean: 1,
                    rejected: 0,
                }
            }
            Verdict::Rejected(_) => {
                judgement.rejected += 1;
                Found {
                    clean: 0,
                    rejected: 1,
                }
            }
            Verdict::Duplicate => {
                judgement.duplicates += 1;
                Found::default()
            }
        };
        if found == expected {
            continue;
        }
        let (times, due) = (
            found.clean + found.rejected,
            expected.clean + expected.rejected,
        );
        *match times.cmp(&due) {
            std::cmp::Ordering::Less => &mut judgement.lost,
            std::cmp::Ordering::Greater => &mut judgement.doubled,
            std::cmp::Ordering::Equal => &mut judgement.misplaced,
        } += 1;
        if judgement.listed.len() < LISTED {
            let place = format!("raw[{}] {}", record.partition, record.offset);
            judgement
                .listed
                .push(format!("{place}: {verdict:?}, but {found:?}"));
        }
    }
    (judgement, judged)
}

fn find(books: &Books) -> HashMap<u64, Found> {
    let deployment = &books.deployment;
    let mut found: HashMap<u64, Found> = HashMap::new();
    for record in deployment.kafka.read_all(&deployment.clean) {
        found.entry(number(&record)).or_default().clean += 1;
    }
    for record in deployment.kafka.read_all(&deployment.rejected) {
        found.entry(number(&record)).or_default().rejected += 1;
    }
    found
}

fn number(record: &Record) -> u64 {
    let header = record.headers.iter().find(|(name, _)| name == NUMBER);
    let text = header.and_then(|(_, value)| value.as_deref());
    let text = text.expect("the stream numbers its events, and headers travel on");
    let text = std::str::from_utf8(text).expect("a number is text");
    text.parse().expect("a number")
}

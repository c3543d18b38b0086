//! Every fault that the mock warehouse knows, at every step of a load: afterwards the tables hold what was pushed, each row once.
//!
//! A fault that passes is tried on through. One that a person has to mend ends the sink; then the remedy is applied, and another
//! sink goes on from the control table, as after a restart of the service.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mock_warehouse::engine::Bindings;
use mock_warehouse::{Fault, Step};

use super::tests::{Scene, event, total};
use super::trouble::{News, Trouble, Who, described};
use super::{Sink, SinkError};
use crate::broker::Partition;
use crate::keys::tests::PAIR;

/// Tries of one load, restarts included.
const MOST_TRIES: usize = 12;

/// What goes wrong, what the error says of it where one comes out, and what mends it where nothing else does.
struct Kind {
    fault: &'static str,
    says: &'static [&'static str],
    remedy: &'static [&'static str],
}

const fn passing(fault: &'static str, says: &'static [&'static str]) -> Kind {
    Kind {
        fault,
        says,
        remedy: &[],
    }
}

const BROKEN: &[&str] = &[
    "no reply",
    "error sending request",
    "could not be written",
    "connection",
];

const KINDS: &[Kind] = &[
    passing("429:1", &["390505", "429", "Too Many"]),
    passing("500", &["500", "Internal"]),
    passing("502", &["502", "Bad Gateway"]),
    passing("503:1", &["503", "Service Unavailable", "SlowDown"]),
    passing("504", &["504", "Gateway"]),
    passing("reset", BROKEN),
    passing("reset-after", BROKEN),
    passing("drop-reply", BROKEN),
    passing("delay:0.05", &[]),
    passing("slow:0.05", &[]),
    passing("forget", &["000709", "not found", "was not found"]),
    passing("expire", &["JWT token is invalid"]),
    passing("clock:7200", &["JWT token is invalid"]),
    passing("clock:-7200", &["JWT token is invalid"]),
    Kind {
        fault: "revoke:KAFKA_SERVICE",
        says: &["JWT token is invalid"],
        remedy: &["ALTER USER KAFKA_SERVICE SET RSA_PUBLIC_KEY = '${key}'"],
    },
    Kind {
        fault: "quota:COMPUTE_WH",
        says: &["exceeded its quota"],
        remedy: &["ALTER WAREHOUSE COMPUTE_WH UNSET RESOURCE_MONITOR"],
    },
    Kind {
        fault: "sql:ALTER WAREHOUSE COMPUTE_WH SET AUTO_RESUME = FALSE; ALTER WAREHOUSE COMPUTE_WH SUSPEND",
        says: &["No active warehouse"],
        remedy: &["ALTER WAREHOUSE COMPUTE_WH SET AUTO_RESUME = TRUE"],
    },
    Kind {
        fault: "sql:DROP WAREHOUSE COMPUTE_WH",
        says: &["No active warehouse"],
        remedy: &[
            "CREATE WAREHOUSE COMPUTE_WH",
            "GRANT USAGE ON WAREHOUSE COMPUTE_WH TO ROLE LOADER",
        ],
    },
    Kind {
        fault: "sql:REVOKE INSERT ON TABLE DB.S.EVENTS FROM ROLE LOADER",
        says: &["Insufficient privileges"],
        remedy: &["GRANT INSERT ON TABLE DB.S.EVENTS TO ROLE LOADER"],
    },
    Kind {
        fault: "sql:REVOKE READ, WRITE ON STAGE DB.S.KAFKA_STAGE FROM ROLE LOADER",
        says: &["KAFKA_STAGE", "Insufficient privileges"],
        remedy: &["GRANT READ, WRITE ON STAGE DB.S.KAFKA_STAGE TO ROLE LOADER"],
    },
    Kind {
        fault: "sql:ALTER TABLE DB.S.EVENTS RENAME COLUMN VIEWS TO SEEN",
        says: &["VIEWS"],
        remedy: &["ALTER TABLE DB.S.EVENTS RENAME COLUMN SEEN TO VIEWS"],
    },
    Kind {
        fault: "sql:ALTER TABLE DB.S.EVENTS RENAME TO DB.S.ELSEWHERE",
        says: &["EVENTS"],
        remedy: &["ALTER TABLE DB.S.ELSEWHERE RENAME TO DB.S.EVENTS"],
    },
];

/// Those that are also tried several times in a row.
const LASTING: [&str; 2] = ["503:1", "drop-reply"];

/// What is under way when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    TakeOver,
    Load,
}

/// The steps of a phase, and how many requests of the step go by before.
fn steps(phase: Phase) -> Vec<(Step, u64)> {
    match phase {
        Phase::TakeOver => vec![(Step::Submit, 0), (Step::Submit, 1), (Step::Poll, 0)],
        Phase::Load => vec![
            (Step::Login, 0),
            (Step::Renew, 0),
            (Step::Query, 0),
            (Step::Upload, 0),
            (Step::Upload, 1),
            (Step::Submit, 0),
            (Step::Submit, 1),
            (Step::Poll, 0),
            (Step::Poll, 3),
        ],
    }
}

/// Everything that was ever pushed; offsets are positions in here.
#[derive(Default)]
struct Pushed {
    totals: Vec<(String, Option<String>)>,
    events: Vec<String>,
}

impl Pushed {
    /// What two partitions get between two loads.
    fn more(&mut self, number: usize) {
        let key = |at: usize| format!("k{}", at % 5);
        self.totals
            .push((key(number), Some(format!("{number}.25"))));
        self.totals
            .push((key(number + 1), Some(format!("{number}.50"))));
        if number.is_multiple_of(3) {
            self.totals.push((key(number + 2), None));
        }
        self.events.push(format!("{number}-a"));
        self.events.push(format!("{number}-b"));
    }

    /// Pushes what comes from there on; the topics in the order of their names.
    fn feed(&self, sink: &mut Sink, starts: &[i64]) {
        let at = |start: i64| usize::try_from(start).unwrap();
        for (offset, (key, value)) in self.totals.iter().enumerate().skip(at(starts[1])) {
            total(
                sink,
                0,
                i64::try_from(offset).unwrap(),
                key,
                value.as_deref(),
            );
        }
        for (offset, id) in self.events.iter().enumerate().skip(at(starts[0])) {
            event(
                sink,
                i64::try_from(offset).unwrap(),
                &format!(r#"{{"id":"{id}"}}"#),
            );
        }
    }

    fn expected(&self) -> (Vec<String>, Vec<String>) {
        let newest: BTreeMap<_, _> = self.totals.iter().cloned().collect();
        let rows = newest
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key} {}", value?)));
        let mut events = self.events.clone();
        events.sort();
        (rows.collect(), events)
    }
}

/// What the tables hold, asked behind the back of all faults.
async fn found(scene: &Scene) -> (Vec<String>, Vec<String>) {
    let mut admin = scene.engine.admin();
    let mut rows = async |sql: &str| -> Vec<String> {
        let grid = admin.execute(sql, &Bindings::new()).await.unwrap();
        let cells = |row: &Vec<Option<String>>| row.iter().flatten().cloned().collect::<Vec<_>>();
        grid.rows.iter().map(|row| cells(row).join(" ")).collect()
    };
    let totals = rows("SELECT ID, TOTAL FROM DB.S.TOTALS ORDER BY ID").await;
    let events = rows("SELECT ID FROM DB.S.EVENTS ORDER BY ID").await;
    (totals, events)
}

fn partitions() -> Vec<Partition> {
    let partition = |topic: &str| Partition {
        topic: topic.to_owned(),
        number: 0,
    };
    ["events", "totals"].map(partition).to_vec()
}

/// One fault at one step.
struct Cell<'a> {
    kind: &'a Kind,
    phase: Phase,
    step: Step,
    skip: u64,
    times: u64,
}

impl Cell<'_> {
    fn rule(&self) -> String {
        let Self {
            kind,
            step,
            skip,
            times,
            ..
        } = self;
        format!("{}@{}+{skip}={times}", kind.fault, step.name())
    }

    /// Takes over and loads under the fault; the errors on the way.
    async fn run(&self, scene: &Scene, pushed: &Pushed, fault: Fault) -> Vec<SinkError> {
        let mut sink = scene.new_sink();
        let mut taken = false;
        if self.phase == Phase::Load {
            let starts = sink.take_over(&partitions()).await.unwrap();
            pushed.feed(&mut sink, &starts);
            taken = true;
        }
        if self.step == Step::Renew {
            // A session is renewed when it has expired.
            scene.faults.add("expire@query=1".parse().unwrap());
        }
        let rule = scene.faults.add(fault);
        let mut errors = Vec::new();
        loop {
            assert!(errors.len() < MOST_TRIES, "{}: {errors:?}", self.rule());
            let done = if taken {
                sink.flush().await.map(|_| true)
            } else {
                let starts = sink.take_over(&partitions()).await;
                starts.map(|starts| {
                    pushed.feed(&mut sink, &starts);
                    taken = true;
                    false
                })
            };
            match done {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    if !error.is_transient() {
                        self.mend(scene).await;
                        sink = scene.new_sink();
                        taken = false;
                    }
                    errors.push(error);
                }
            }
        }
        assert!(
            scene.faults.struck(rule).unwrap() > 0,
            "{:?}: {} never struck",
            self.phase,
            self.rule()
        );
        scene.faults.clear();
        self.mend(scene).await;
        errors
    }

    /// What a person does about it; harmless where nothing is to be done.
    async fn mend(&self, scene: &Scene) {
        for statement in self.kind.remedy {
            let statement = statement.replace("${key}", &PAIR.public_key_base64());
            let mut admin = scene.engine.admin();
            let _ = admin.execute(&statement, &Bindings::new()).await;
        }
    }

    /// The error names the fault, and the log tells of it once.
    fn judge(&self, errors: &[SinkError]) {
        let mut trouble = Trouble::none(Who::Warehouse);
        let began = Instant::now();
        let mut told = Vec::new();
        for (second, error) in (0..).zip(errors.iter().filter(|error| error.is_transient())) {
            let now = began + Duration::from_secs(20 * second);
            trouble.failed(error, now);
            told.extend(trouble.news(now + Duration::from_secs(15)));
        }
        assert!(told.len() <= 1, "{}: {told:?}", self.rule());
        assert_eq!(trouble.is_there(), !told.is_empty(), "{}", self.rule());
        for error in errors {
            let text = described(error);
            let named = self.kind.says.iter().any(|words| text.contains(words));
            assert!(named, "{}: {text}", self.rule());
            let hint = error.hint();
            assert!(
                hint.is_some_and(|hint| !hint.is_empty()),
                "{}: {text}",
                self.rule()
            );
        }
        if let Some(News::Trouble(text)) = told.first() {
            let over = trouble.worked(began + Duration::from_secs(600));
            assert_eq!(over, Some(News::Over), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_step_of_a_load_leaves_each_row_there_once() {
    let scene = Scene::of_a_loader().await;
    let mut pushed = Pushed::default();
    let (mut cells, mut met, mut no_fit) = (0, 0, 0);
    for kind in KINDS {
        for phase in [Phase::TakeOver, Phase::Load] {
            for (step, skip) in steps(phase) {
                for times in [1, 3] {
                    let cell = Cell {
                        kind,
                        phase,
                        step,
                        skip,
                        times,
                    };
                    let Ok(fault) = cell.rule().parse() else {
                        no_fit += 1;
                        continue;
                    };
                    // That trouble lasts is the same for all that fails in the same way.
                    if times > 1 && !LASTING.contains(&kind.fault) {
                        continue;
                    }
                    pushed.more(cells);
                    let began = Instant::now();
                    let errors = cell.run(&scene, &pushed, fault).await;
                    println!(
                        "{phase:?} {} {:?} {}",
                        cell.rule(),
                        began.elapsed(),
                        errors.len()
                    );
                    cell.judge(&errors);
                    let found = found(&scene).await;
                    assert_eq!(found, pushed.expected(), "{phase:?} {}", cell.rule());
                    cells += 1;
                    met += usize::from(!errors.is_empty());
                }
            }
        }
    }
    println!("{cells} cells: {met} with errors on the way, {no_fit} that cannot be");
    assert!(cells >= 200, "{cells}");
}

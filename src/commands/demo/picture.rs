//! What the demo shows while it runs: a picture that is drawn anew in a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossterm::QueueableCommand;
use crossterm::cursor::MoveToPreviousLine;
use crossterm::terminal::{Clear, ClearType};
use tokio::task::JoinHandle;

use super::Watched;
use crate::commands::verify::View;
use crate::generate::Summary;
use crate::status::Snapshot;

/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(500);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(5);
/// Longest wait for what was generated to arrive in gold.
const LONGEST_DRAIN: Duration = Duration::from_secs(20);

/// The picture and where it stands on the screen.
pub(super) struct Picture {
    terminal: bool,
    duration: Duration,
    drawn: u16,
    line_at: Option<Instant>,
}

impl Picture {
    pub(super) fn new(duration: Duration) -> Self {
        Self {
            terminal: stdout().is_terminal(),
            duration,
            drawn: 0,
            line_at: None,
        }
    }

    /// A line that stays.
    #[expect(clippy::print_stdout, reason = "stdout is the demo's screen")]
    pub(super) fn say(&mut self, text: &str) {
        self.drawn = 0;
        println!("==> {text}");
    }

    /// Draws until the generator has ended and all that it sent was cleaned and counted; says how many events that were.
    pub(super) async fn watch(
        &mut self,
        watched: &Watched<'_>,
        generator: JoinHandle<anyhow::Result<Summary>>,
    ) -> anyhow::Result<u64> {
        let began = Instant::now();
        let mut first_row = None;
        while !generator.is_finished() {
            self.step(watched, began, &mut first_row).await?;
        }
        let summary = generator.await.context("the generator panicked")??;
        let deadline = Instant::now() + LONGEST_DRAIN;
        while !all_counted(&watched.status.snapshot(), summary.sent) && Instant::now() < deadline {
            self.step(watched, began, &mut first_row).await?;
        }
        self.line_at = None;
        self.draw(&watched.status.snapshot(), began, first_row)?;
        Ok(summary.sent)
    }

    async fn step(
        &mut self,
        watched: &Watched<'_>,
        began: Instant,
        first_row: &mut Option<Duration>,
    ) -> anyhow::Result<()> {
        if first_row.is_none() && has_rows(watched).await {
            *first_row = Some(watched.started.elapsed());
        }
        self.draw(&watched.status.snapshot(), began, *first_row)?;
        tokio::time::sleep(REDRAW).await;
        Ok(())
    }

    fn draw(
        &mut self,
        now: &Snapshot,
        began: Instant,
        first_row: Option<Duration>,
    ) -> anyhow::Result<()> {
        let text = if self.terminal {
            picture(
                now,
                began.elapsed().min(self.duration),
                self.duration,
                first_row,
            )
        } else {
            if self.line_at.is_some_and(|at| at.elapsed() < LINE) {
                return Ok(());
            }
            self.line_at = Some(Instant::now());
            line(now, began.elapsed())
        };
        let mut out = stdout().lock();
        if self.drawn > 0 {
            out.queue(MoveToPreviousLine(self.drawn))?
                .queue(Clear(ClearType::FromCursorDown))?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if self.terminal {
            self.drawn = u16::try_from(text.lines().count()).unwrap_or(0);
        }
        Ok(())
    }
}

/// Whether a row can be seen in any view.
async fn has_rows(watched: &Watched<'_>) -> bool {
    for View { name: view, .. } in watched.views {
        let counted = watched
            .client
            .execute(&format!("SELECT COUNT(*) AS N FROM {view}"))
            .await;
        if counted.is_ok_and(|answer| answer.i64(0, "N").is_ok_and(|rows| rows > 0)) {
            return true;
        }
    }
    false
}

/// Whether everything that was sent has been judged, and every clean event counted in every gold table.
fn all_counted(now: &Snapshot, sent: u64) -> bool {
    let total = now.total();
    total.consumed >= sent
        && now
            .gold
            .values()
            .all(|table| table.consumed + table.rejected >= total.clean)
}

/// One line for logs and files.
fn line(now: &Snapshot, elapsed: Duration) -> String {
    let total = now.total();
    let rows: u64 = now.gold.values().map(|table| table.rows).sum();
    format!(
        "{:>4} s  events in {}, clean {}, rejected {}, duplicates {}; gold rows written {rows}; loads {} with {} rows; freshness {}\n",
        elapsed.as_secs(),
        total.consumed,
        total.clean,
        total.rejected,
        total.duplicate,
        now.sink.loads,
        now.sink.rows,
        freshness(now)
    )
}

fn freshness(now: &Snapshot) -> String {
    now.sink.freshness.map_or_else(
        || "-".to_owned(),
        |age| format!("{:.1} s", age.as_secs_f64()),
    )
}

/// The picture: data flows from top to bottom.
fn picture(
    now: &Snapshot,
    elapsed: Duration,
    duration: Duration,
    first_row: Option<Duration>,
) -> String {
    let total = now.total();
    let mut text = String::new();
    let mut put = |name: &str, number: &dyn std::fmt::Display, note: &str| {
        // Writing into a String does not fail.
        let _ = writeln!(text, "  {name:<26}{number:>12}  {note}");
    };
    put(
        "",
        &format!("{}/{} s", elapsed.as_secs(), duration.as_secs()),
        "Ctrl-C ends the demo earlier",
    );
    put("raw_events      read", &total.consumed, "");
    put("clean_events    written", &total.clean, "");
    put("duplicates      dropped", &total.duplicate, "");
    put("rejected_events written", &total.rejected, "");
    for (reason, events) in &now.reasons {
        put("", events, reason);
    }
    for (name, table) in &now.gold {
        put(
            "gold            rows",
            &table.rows,
            &format!("{name}: {} keys", table.keys),
        );
    }
    put(
        "warehouse       loads",
        &now.sink.loads,
        &format!("{} rows", now.sink.rows),
    );
    put(
        "                freshness",
        &freshness(now),
        "newest loaded event, from Kafka to the table",
    );
    let first = first_row.map_or_else(
        || "-".to_owned(),
        |after| format!("{:.1} s", after.as_secs_f64()),
    );
    put(
        "                first row",
        &first,
        "in a view, after the start of the demo",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{GoldTotals, Ledger};

    #[test]
    fn all_is_counted_when_every_gold_table_has_seen_every_clean_event() {
        let mut now = Snapshot::default();
        now.ledger.insert(
            0,
            Ledger {
                consumed: 4,
                clean: 3,
                rejected: 1,
                duplicate: 0,
            },
        );
        now.gold.insert(
            "a".to_owned(),
            GoldTotals {
                consumed: 3,
                ..GoldTotals::default()
            },
        );
        assert!(all_counted(&now, 4));
        assert!(!all_counted(&now, 5), "an event was not read");
        now.gold.insert(
            "b".to_owned(),
            GoldTotals {
                consumed: 2,
                ..GoldTotals::default()
            },
        );
        assert!(!all_counted(&now, 4), "a table lags");
    }

    #[test]
    fn the_picture_names_each_reason() {
        let mut now = Snapshot::default();
        now.reasons.insert("amount_not_positive".to_owned(), 12);
        let text = picture(&now, Duration::from_secs(3), Duration::from_secs(60), None);
        assert!(text.contains("12  amount_not_positive"), "{text}");
    }
}

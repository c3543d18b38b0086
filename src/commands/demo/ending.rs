//! What the demo prints in the end: the views, the books, and what to try next.

use anyhow::ensure;

use super::super::run::Work;
use super::super::verify::View;
use crate::warehouse::{Client, query};

/// Rows of a view that are shown.
const MOST_ROWS: usize = 10;

/// What a newcomer may want to do now.
const NEXT: &str = "\
what to try next
  ./dev demo --rate 2000 --duration 20s     more of it
  sluicebox generate --stdout --count 5     the raw events
  sluicebox config                          what can be set, and where each value came from
  README.md                                 the same against your Kafka and your Snowflake
  sql/customer_metrics/                     what is clean and what is gold: add a column to gold/*.sql";

/// Prints all of it.
///
/// # Errors
/// When a view cannot be read, or the books do not balance.
#[expect(clippy::print_stdout, reason = "stdout is the demo's screen")]
pub(super) async fn print(
    work: &Work,
    client: &Client,
    views: &[View],
    sent: u64,
) -> anyhow::Result<()> {
    for View { name: view, order } in views {
        let mut answer = client
            .execute(&format!("SELECT * FROM {view} {order}"))
            .await?;
        let rows = answer.rows.len();
        answer.rows.truncate(MOST_ROWS);
        println!(
            "\n{view}: {rows} rows{}",
            if rows > MOST_ROWS {
                ", the first 10"
            } else {
                ""
            }
        );
        println!("{}", query::table(&answer));
    }
    let snapshot = work.status.snapshot();
    println!("\nthe books: consumed = clean + rejected + duplicate");
    for (partition, ledger) in &snapshot.ledger {
        println!(
            "  {}[{partition}]  {} = {} + {} + {}  {}",
            work.config.topics.raw,
            ledger.consumed,
            ledger.clean,
            ledger.rejected,
            ledger.duplicate,
            if ledger.balances() { "ok" } else { "WRONG" }
        );
    }
    let total = snapshot.total();
    println!("  generated {sent}, consumed {}", total.consumed);
    let silver = client
        .execute(&format!(
            "SELECT COUNT(*) AS N FROM {}",
            work.config.sink.clean_table
        ))
        .await?
        .i64(0, "N")?;
    println!(
        "  clean {}, rows of {} {silver}",
        total.clean, work.config.sink.clean_table
    );
    println!("\n{NEXT}");
    ensure!(
        snapshot.ledger.values().all(|ledger| ledger.balances()),
        "the books do not balance"
    );
    ensure!(
        total.consumed == sent,
        "{sent} events were generated and {} consumed",
        total.consumed
    );
    ensure!(
        u64::try_from(silver) == Ok(total.clean),
        "{} clean events, but {silver} rows",
        total.clean
    );
    Ok(())
}

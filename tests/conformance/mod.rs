//! What we build on and nobody here has seen a real account do: asked of the mock warehouse in every test run, and of a real
//! account by `./dev conformance`.
//!
//! `SLUICEBOX_CONFORMANCE=account` asks the account of `SNOWFLAKE_ACCOUNT`, `_USER`, `_PRIVATE_KEY_FILE`, `_ROLE`, `_WAREHOUSE` and
//! `_DATABASE` too. A variable of its own, because these may be set for other programs, and an account costs money.

mod checks;
mod place;
mod staged;

use std::env;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use comfy_table::{Table, presets};
use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};

use checks::{CHECKS, Check};
use place::Place;

/// What a check found on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Observed(String);

/// Goes through the checks until there are no more, or until it is interrupted; in either case nothing is left behind.
async fn observe(place: &Place, interrupted: impl Future<Output = ()>) -> Vec<Observed> {
    let mut observed = Vec::new();
    let all = async {
        if let Err(error) = place.create().await {
            eprintln!("{} cannot be made: {error}", place.schema());
            return;
        }
        for Check { name, look, .. } in CHECKS {
            eprintln!("  {}: {name}", place.name());
            let found = AssertUnwindSafe(look(place)).catch_unwind().await;
            let found = found.unwrap_or_else(|_| Err("the check itself broke off".to_owned()));
            observed.push(Observed(
                found.unwrap_or_else(|error| format!("failed: {error}")),
            ));
        }
    };
    tokio::select! {
        () = all => {}
        () = interrupted => eprintln!("interrupted, cleaning up"),
    }
    match place.drop().await {
        Ok(()) => eprintln!("{} is dropped", place.schema()),
        Err(error) => eprintln!(
            "{} is still there: {error}\nhint: DROP SCHEMA IF EXISTS {}",
            place.schema(),
            place.schema()
        ),
    }
    observed
}

/// The table, and the names of the checks in which something is not as it should be.
fn compared(mock: &[Observed], account: Option<&[Observed]>) -> (Table, Vec<&'static str>) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["check", "the account", "the mock", ""]);
    let mut differing = Vec::new();
    for (at, check) in CHECKS.iter().enumerate() {
        let text = |side: Option<&Observed>| side.map_or("not asked", |found| &found.0).to_owned();
        let (ours, real) = (text(mock.get(at)), account.map(|found| text(found.get(at))));
        let same = real.as_ref().is_none_or(|real| *real == ours) && ours == check.expected;
        if !same {
            differing.push(check.name);
        }
        let verdict = if same { "same" } else { "differs" };
        table.add_row([
            check.name,
            real.as_deref().unwrap_or("not asked"),
            &ours,
            verdict,
        ]);
    }
    (table, differing)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .build()
        .expect("threads can be started")
}

#[test]
fn the_warehouse_does_what_we_build_on() {
    let account = match env::var("SLUICEBOX_CONFORMANCE").as_deref() {
        Ok("account") => Some(Place::account().unwrap_or_else(|error| panic!("{error}"))),
        Ok(other) => panic!("SLUICEBOX_CONFORMANCE is `account` or not set, got `{other}`"),
        Err(_) => None,
    };
    let runtime = runtime();
    // With an account only: who listens once for Ctrl-C changes what it does to the other tests of this process.
    let interrupted = || async {
        match &account {
            Some(_) => drop(tokio::signal::ctrl_c().await),
            None => pending().await,
        }
    };
    let mock = runtime.block_on(observe(&Place::mock(), interrupted()));
    let account = account.as_ref().filter(|_| mock.len() == CHECKS.len());
    let account = account.map(|account| runtime.block_on(observe(account, interrupted())));
    let (table, differing) = compared(&mock, account.as_deref());
    println!("{table}");
    match &account {
        None => println!(
            "{} checks on the mock warehouse; this has NOT been run against a real account\nhint: ./dev conformance",
            mock.len()
        ),
        Some(account) => println!(
            "{} checks on the account, {} on the mock",
            account.len(),
            mock.len()
        ),
    }
    assert!(differing.is_empty(), "not as we build on: {differing:?}");
}

#[test]
fn a_side_that_does_otherwise_is_told() {
    let expected = || {
        CHECKS
            .iter()
            .map(|check| Observed(check.expected.to_owned()))
    };
    let good: Vec<_> = expected().collect();
    assert!(compared(&good, None).1.is_empty());
    assert!(compared(&good, Some(&good)).1.is_empty());
    let mut other = good.clone();
    other[1] = Observed("something else".to_owned());
    assert_eq!(compared(&good, Some(&other)).1, [CHECKS[1].name]);
    assert_eq!(compared(&other, None).1, [CHECKS[1].name]);
    // What was interrupted is no agreement.
    assert_eq!(compared(&good, Some(&good[..2])).1.len(), CHECKS.len() - 2);
}

#[test]
fn a_run_that_is_interrupted_leaves_no_schema_behind() {
    let runtime = runtime();
    let place = Place::mock();
    let begun = Duration::from_secs(2);
    let observed = runtime.block_on(observe(&place, async { tokio::time::sleep(begun).await }));
    assert!(observed.len() < CHECKS.len(), "it was not interrupted");
    assert_eq!(runtime.block_on(place.schemas_left()), Ok(0));
    runtime.block_on(place.create()).unwrap();
    assert_eq!(
        runtime.block_on(place.schemas_left()),
        Ok(1),
        "it is not looked for"
    );
}

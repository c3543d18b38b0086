//! The service is killed, frozen, cut off and replaced while events stream through it; then every event is looked for.

mod arena;
mod judge;
mod plan;
mod positions;
mod runner;
mod stream;

use std::env;
use std::time::Duration;

use runner::Run;

/// Random acts of the short form.
const ACTS: u32 = 8;

/// Where the acts of the short form come from, unless the environment says otherwise.
const SEED: u64 = 4;

/// A number from the environment: `./dev chaos` sets them.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no whole number")))
}

/// What happens in the random part.
const KINDS: &[&str] = &[
    "kill",
    "kill all",
    "reply dropped",
    "warehouse refused",
    "warehouse slow",
];

/// A few acts; or as many as fit into `SLUICEBOX_CHAOS_MINUTES`, which is what `./dev chaos` runs.
#[test]
fn random_kills_and_friends_lose_no_event_and_double_none() {
    let minutes = setting("SLUICEBOX_CHAOS_MINUTES");
    let seed = setting("SLUICEBOX_CHAOS_SEED").unwrap_or(SEED);
    let mut run = Run::start("chaos", seed, 1, KINDS);
    run.carry_out(|number, elapsed| match minutes {
        Some(minutes) => elapsed < Duration::from_secs(60 * minutes),
        None => number < ACTS,
    });
    run.finish();
}

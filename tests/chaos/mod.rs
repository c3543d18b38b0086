//! The service is killed, frozen, cut off and replaced while events stream through it; then every event is looked for.

mod arena;
mod duplicates;
mod judge;
mod members;
mod outage;
mod plan;
mod positions;
mod runner;

use std::env;
use std::time::Duration;

use runner::Run;
use sluicebox::crash::POINTS;

/// Random acts of the short form.
const ACTS: u32 = 30;

/// Where the acts of the short form come from, unless the environment says otherwise.
const SEED: u64 = 4;

/// A number from the environment: `./dev chaos` sets them.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no whole number")))
}

#[test]
fn a_death_at_every_point_of_clean_loses_no_event_and_doubles_none() {
    die_at_points_of("clean");
}

#[test]
fn a_death_at_every_point_of_gold_loses_no_event_and_doubles_none() {
    die_at_points_of("gold");
}

#[test]
fn a_death_at_every_point_of_the_sink_loses_no_event_and_doubles_none() {
    die_at_points_of("sink");
}

fn die_at_points_of(job: &str) {
    let job_of = |point: &'static str| point.split('.').next().unwrap_or_default();
    let known = ["clean", "gold", "sink"];
    assert!(
        POINTS.iter().all(|point| known.contains(&job_of(point))),
        "{POINTS:?}"
    );
    let mut points = POINTS.to_vec();
    points.retain(|point| job_of(point) == job);
    let mut run = Run::start(&format!("points-{job}"), SEED, 2, &[]);
    run.die_at(&points);
    run.finish();
}

/// A few acts; or as many as fit into `SLUICEBOX_CHAOS_MINUTES`, which is what `./dev chaos` runs.
#[test]
fn random_kills_and_friends_lose_no_event_and_double_none() {
    let minutes = setting("SLUICEBOX_CHAOS_MINUTES");
    let seed = setting("SLUICEBOX_CHAOS_SEED").unwrap_or(SEED);
    let mut run = Run::start("chaos", seed, 2, &plan::KINDS);
    run.carry_out(|number, elapsed| match minutes {
        Some(minutes) => elapsed < Duration::from_secs(60 * minutes),
        None => number < ACTS,
    });
    run.finish();
}

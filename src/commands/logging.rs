//! Log lines on stderr, as text for people or JSON for machines.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// Clients whose own words would repeat what the jobs say, or show whole requests.
const QUIET: [&str; 5] = [
    "rdkafka=off",
    "librdkafka=off",
    "hyper=warn",
    "s3s=warn",
    "object_store=warn",
];

/// Starts the log; once per process.
pub(super) fn start(section: &LogSection) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(&section.level).context("log.level")?;
    for directive in QUIET {
        filter = filter.add_directive(directive.parse().context("log.level")?);
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match section.format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!("the log was started before: {error}"))
}

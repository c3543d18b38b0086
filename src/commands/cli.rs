//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{check, demo, reconcile, reset, setup};
use crate::config::{Config, ConfigError};
use crate::status::Job;
use crate::{generate, keys, warehouse};

/// Validated events and gold metrics from Kafka into Snowflake, exactly once, with the logic in SQL files.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Start with `sluicebox demo`: the whole path on this machine, without Kafka or Snowflake."
)]
pub(super) struct Cli {
    /// Configuration file [default: ./sluicebox.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the configuration, e.g. --set sink.flush_interval=1m; wins over file and environment
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the whole path in one process: mock Kafka, mock warehouse, generator and all three jobs
    Demo(demo::DemoArgs),
    /// Run the jobs until Ctrl-C or SIGTERM
    Run(RunArgs),
    /// Create the topics, and the warehouse's objects by the pipeline's scripts; what is there stays as it is
    Setup(setup::Args),
    /// Look at everything that the service needs, and print what repairs what is wrong; nothing is changed
    Check(check::Args),
    /// Print the pipeline's views with their row counts; fails when one is missing
    Verify,
    /// Compare what was read with what was written, in Kafka and in the warehouse
    Reconcile(reconcile::Args),
    /// Accept topics and tables as they are now, or rebuild from what is there
    Reset(reset::Args),
    /// Run one statement in the warehouse and print its answer
    Query(warehouse::query::QueryArgs),
    /// Write made-up customer_metrics events, a share of them invalid, to Kafka or to stdout
    Generate(generate::GenerateArgs),
    /// Make and show the key pair that signs in to the warehouse
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Print the configuration in force, and where each value came from
    Config,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Jobs to run [default: all]
    #[arg(value_enum)]
    jobs: Vec<JobName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum JobName {
    /// Raw events to clean events
    Clean,
    /// Clean events to gold rows
    Gold,
    /// Rows to the warehouse
    Sink,
}

impl RunArgs {
    pub(super) fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self
            .jobs
            .iter()
            .map(|name| match name {
                JobName::Clean => Job::Clean,
                JobName::Gold => Job::Gold,
                JobName::Sink => Job::Sink,
            })
            .collect();
        jobs.sort();
        jobs.dedup();
        if jobs.is_empty() {
            vec![Job::Clean, Job::Gold, Job::Sink]
        } else {
            jobs
        }
    }
}

impl Cli {
    /// The configuration that the flags, the environment and the file make.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), &self.set)
    }

    /// How the program has to be called again to find the same configuration file: the beginning of commands that are suggested.
    pub(super) fn program(&self) -> String {
        match &self.config {
            Some(file) => format!("sluicebox --config {}", shell_word(&file.to_string_lossy())),
            None => "sluicebox".to_owned(),
        }
    }
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("a setting has the form section.key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_suggested_command_finds_the_same_configuration() {
        let program = |words: &[&str]| Cli::try_parse_from(words).unwrap().program();
        assert_eq!(program(&["sluicebox", "check"]), "sluicebox");
        assert_eq!(
            program(&["sluicebox", "--config", "my file's.toml", "check"]),
            r"sluicebox --config 'my file'\''s.toml'"
        );
    }

    #[test]
    fn all_jobs_run_unless_some_are_named() {
        let jobs = |words: &[&str]| match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => args.jobs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            jobs(&["sluicebox", "run"]),
            [Job::Clean, Job::Gold, Job::Sink]
        );
        assert_eq!(
            jobs(&["sluicebox", "run", "sink", "clean", "sink"]),
            [Job::Clean, Job::Sink]
        );
    }
}

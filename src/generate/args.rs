//! What the command line of `sluicebox generate` says, and whether it makes sense.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

use super::{Options, Ratio, Zone};

/// Events per second when neither a rate nor a count is given: what the reference producer meant to reach.
const DEFAULT_RATE: u32 = 1_000;

/// Write made-up customer_metrics events, a share of them invalid, to Kafka or to stdout
#[derive(Debug, Clone, clap::Args)]
pub struct GenerateArgs {
    /// Topic to write to [default: the raw topic of the configuration]
    #[arg(long)]
    pub topic: Option<String>,

    /// Write JSON lines to stdout instead of Kafka
    #[arg(long, conflicts_with = "topic")]
    pub stdout: bool,

    /// Events per second; 0 is as fast as possible [default: 0 with --count, else 1000]
    #[arg(long, value_name = "EVENTS", allow_negative_numbers = true)]
    pub rate: Option<u32>,

    /// Stop after this many events [default: no limit]
    #[arg(long, value_name = "EVENTS", allow_negative_numbers = true)]
    pub count: Option<u64>,

    /// Stop after this time, for example 30s or 5min; a bare number is seconds [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    pub duration: Option<Duration>,

    /// Same seed, same events, if --now is given as well [default: a new one each time]
    #[arg(long, allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Newest event time; the oldest is six days before it [default: the start of the run]
    #[arg(long, value_name = "RFC3339", value_parser = parse_now)]
    pub now: Option<DateTime<Utc>>,

    /// How event times are written; UTC is meant in both cases
    #[arg(long, value_enum, default_value_t = Zone::None)]
    pub zone: Zone,

    /// Share of events with one spoiled field, labelled as such, from 0 to 1
    #[arg(
        long,
        value_name = "RATIO",
        default_value = "0.25",
        allow_negative_numbers = true
    )]
    pub invalid_ratio: Ratio,

    /// Share of messages that are truncated JSON, unlabelled, from 0 to 1
    #[arg(
        long,
        value_name = "RATIO",
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub bad_json: Ratio,

    /// Share of messages that an undeclared field makes too large for a broker's defaults, from 0 to 1
    #[arg(
        long,
        value_name = "RATIO",
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub oversize: Ratio,

    /// Size of those messages in bytes, up to 64 MiB
    #[arg(long, value_name = "BYTES", default_value = "1100000",
          value_parser = clap::value_parser!(u32).range(1024..=64 << 20))]
    pub oversize_bytes: u32,

    /// Share of messages without event_id, unlabelled, from 0 to 1
    #[arg(
        long,
        value_name = "RATIO",
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub missing_id: Ratio,

    /// No lines of progress and no summary on stderr
    #[arg(long)]
    pub quiet: bool,
}

/// Flags that make no sense together. The command exits with 2 for it, as it does for a wrong value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl GenerateArgs {
    /// What decides the events. A seed and a `now` that were not given are settled here, once.
    ///
    /// # Errors
    /// If the faults together are more than all events.
    pub fn options(&self) -> Result<Options, UsageError> {
        let faults = self.bad_json.share() + self.oversize.share() + self.missing_id.share();
        // Shares that add up to 1 may add up to a little more as floats.
        if faults > 1.0 + f64::EPSILON {
            return Err(UsageError(format!(
                "--bad-json {}, --oversize {} and --missing-id {} add up to more than 1\n\
                 hint: a message has one fault at most; lower one of them",
                self.bad_json, self.oversize, self.missing_id
            )));
        }
        Ok(Options {
            seed: self.seed.unwrap_or_else(rand::random),
            now: self.now.unwrap_or_else(|| Utc::now().trunc_subsecs(6)),
            zone: self.zone,
            invalid: self.invalid_ratio,
            bad_json: self.bad_json,
            oversize: self.oversize,
            missing_id: self.missing_id,
            oversize_bytes: self.oversize_bytes as usize,
        })
    }

    /// Events per second; none is as fast as possible.
    #[must_use]
    pub fn events_per_second(&self) -> Option<u32> {
        match (self.rate, self.count) {
            (Some(0), _) | (None, Some(_)) => None,
            (Some(rate), _) => Some(rate),
            (None, None) => Some(DEFAULT_RATE),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, humantime::DurationError> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    }
}

fn parse_now(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|now| now.to_utc().trunc_subsecs(6))
        .map_err(|_| "must be a time such as 2026-02-24T07:15:02Z".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: GenerateArgs,
    }

    fn parse(line: &str) -> Result<GenerateArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("generate").chain(line.split_whitespace()))
            .map(|cli| cli.args)
    }

    #[test]
    fn nothing_given_is_the_reference_producer() {
        let args = parse("").unwrap();
        let options = args.options().unwrap();
        assert_eq!(
            options,
            Options {
                oversize_bytes: 1_100_000,
                ..Options::new(options.seed, options.now)
            }
        );
        assert_eq!(
            (args.count, args.duration, args.topic, args.stdout),
            (None, None, None, false)
        );
    }

    #[test]
    fn the_rate_is_unlimited_only_when_something_else_ends_the_run_or_it_is_asked_for() {
        for (line, rate) in [
            ("", Some(1000)),
            ("--duration 30s", Some(1000)),
            ("--count 10", None),
            ("--rate 0", None),
            ("--rate 0 --duration 5s", None),
            ("--rate 500 --count 10", Some(500)),
        ] {
            assert_eq!(parse(line).unwrap().events_per_second(), rate, "{line}");
        }
    }

    #[test]
    fn a_duration_is_written_for_people_or_in_seconds() {
        for (line, seconds) in [("30", 30), ("30s", 30), ("5min", 300), ("1h 30m", 5400)] {
            let args = Cli::try_parse_from(["generate", "--duration", line])
                .unwrap()
                .args;
            assert_eq!(args.duration, Some(Duration::from_secs(seconds)), "{line}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_flag_and_itself() {
        for (flag, value) in [
            ("--invalid-ratio", "1.5"),
            ("--invalid-ratio", "-1"),
            ("--bad-json", "NaN"),
            ("--oversize", "2"),
            ("--missing-id", "some"),
            ("--oversize-bytes", "12"),
            ("--rate", "-5"),
            ("--rate", "fast"),
            ("--count", "1.5"),
            ("--duration", "-3"),
            ("--duration", "soon"),
            ("--seed", "-1"),
            ("--now", "yesterday"),
            ("--now", "2026-02-24"),
            ("--zone", "utc"),
        ] {
            let error = Cli::try_parse_from(["generate", flag, value]).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(flag) && message.contains(value),
                "{flag} {value}: {message}"
            );
            assert_eq!(error.exit_code(), 2, "{flag} {value}");
        }
        let both = parse("--stdout --topic raw_events").unwrap_err();
        assert_eq!(both.kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn faults_share_the_events_between_them() {
        assert!(
            parse("--bad-json 0.5 --oversize 0.25 --missing-id 0.25")
                .unwrap()
                .options()
                .is_ok()
        );
        let error = parse("--bad-json 0.5 --oversize 0.5 --missing-id 0.1")
            .unwrap()
            .options()
            .unwrap_err();
        for said in ["--bad-json 0.5", "--oversize 0.5", "--missing-id 0.1"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn seed_and_now_are_taken_as_given() {
        let options = parse("--seed 7 --now 2026-02-24T08:00:00+01:00")
            .unwrap()
            .options()
            .unwrap();
        assert_eq!(
            (options.seed, options.now.to_rfc3339().as_str()),
            (7, "2026-02-24T07:00:00+00:00")
        );
    }
}

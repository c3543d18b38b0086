//! `sluicebox reconcile`: the books, compared.

use std::process::ExitCode;
use std::sync::Arc;

use super::run::group;
use super::{failure, runtime, tables};
use crate::broker::Kafka;
use crate::clean::Bounds;
use crate::config::Config;
use crate::reconcile::{Books, Warehouse};
use crate::sql::Pipeline;
use crate::status::Job;
use crate::warehouse::{self, Client};

/// Compare what was read with what was written, in Kafka and in the warehouse.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Three comparisons, each up to positions that are printed:
  ledger     consumed = clean + rejected + duplicate for each raw partition, record by record: the SQL in force judges
             the raw topic once more
  gold       the rows of each gold topic are what its query makes of clean_events
  warehouse  the rows of each table are those of its topic

Nothing is changed, and the service may run meanwhile. What cannot be compared is counted, never passed over; the last
line sums it up:
  judged leniently   a duplicate cannot be told where the raw topic has lost its beginning
  expired            older than what the output topics still have
  replaced since     a newer row has taken the place of the one to compare with
  not recomputed     clean_events has lost its beginning
  copies of refused events
                     one has no other half, and a topic has lost its beginning or a gold topic was counted anew
  older than the topic
                     a warehouse row whose record the topic no longer has

It needs memory: some hundred bytes for each record of the raw topic, and for each table of the warehouse all its rows
and the newest rows of its topic at once. With --kafka-only no table is read.

Exit code 0: everything agrees, as far as the topics still go. 1: something differs, or could not be read.
2: wrong usage. 3: no difference, but a part was not compared, because it was never quiet: ask again
(\"complete\": false, \"not_compared\" says which).")]
pub struct Args {
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Most differences to list of each comparison
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Leave the warehouse out
    #[arg(long)]
    kafka_only: bool,
}

/// How the report is written.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Format {
    /// Tables and sentences for people
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// The exit code when nothing differs, but not every part was compared.
const INCOMPLETE: u8 = 3;

/// Compares and prints; code 1 when something does not agree, 3 when nothing is known to differ, but a part was not compared.
///
/// # Errors
/// What cannot be read.
pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let pipeline = Arc::new(Pipeline::load(
        &config.pipeline.folder,
        config.pipeline_settings(),
    )?);
    let runtime = runtime()?;
    let warehouse = if args.kafka_only {
        None
    } else {
        config.require_warehouse()?;
        let settings = warehouse::Config::from(&config.warehouse);
        Some(Warehouse {
            client: Client::new(&settings, &settings.read_key()?)?,
            runtime: runtime.handle().clone(),
            control: tables::CONTROL.to_owned(),
            targets: tables::targets(config, &pipeline)?,
        })
    };
    let books = Books {
        kafka: Kafka::new((&config.kafka).into()),
        pipeline,
        raw: config.topics.raw.clone(),
        clean: config.topics.clean.clone(),
        rejected: config.topics.rejected.clone(),
        clean_group: group(config, Job::Clean),
        gold_group: group(config, Job::Gold),
        duplicates: Bounds {
            events: config.clean.duplicate_window_events,
            time: config.clean.duplicate_window_time,
        },
        keep: config.gold.keep.clone(),
        limit: args.limit,
    };
    let report = books.check(warehouse.as_ref())?;
    failure::print_data(&match args.format {
        Format::Table => report.text(),
        Format::Json => report.json()?,
    });
    if report.is_clean() {
        return Ok(if report.complete {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(INCOMPLETE)
        });
    }
    eprintln!("{} differences", report.total());
    Ok(ExitCode::FAILURE)
}

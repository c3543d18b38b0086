//! `sluicebox setup`: the topics, then the warehouse's objects. What is there stays as it is.

use crate::broker::{Admin, Kafka, TopicOutcome};
use crate::config::Config;
use crate::sql::Pipeline;
use crate::warehouse;
use crate::warehouse::setup::{Outcome, SetupArgs};

use super::{failure, runtime, tables};

/// What can be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The topics of the pipeline
    Kafka,
    /// The warehouse's objects, by the scripts of the pipeline
    Warehouse,
}

/// Create the topics, and the warehouse's objects by the pipeline's scripts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to set up [default: both]
    #[arg(value_enum)]
    part: Option<Part>,
    #[command(flatten)]
    warehouse: SetupArgs,
}

/// Creates what is missing and says what it did.
///
/// # Errors
/// The first thing that cannot be made, or a table that cannot take what will be written.
pub fn run(config: &Config, args: &Args) -> anyhow::Result<()> {
    let pipeline = Pipeline::load(&config.pipeline.folder, config.pipeline_settings())?;
    let targets = tables::targets(config, &pipeline)?;
    if args.part != Some(Part::Kafka) {
        tables::check_scripts(&pipeline, &targets)?;
    }
    if args.part != Some(Part::Warehouse) && !args.warehouse.dry_run {
        create_topics(config, &pipeline)?;
    }
    if args.part == Some(Part::Kafka) {
        return Ok(());
    }
    config.require_warehouse()?;
    let contracts = tables::contracts(&targets);
    let warehouse = warehouse::Config::from(&config.warehouse);
    let folder = pipeline.folder.join("warehouse");
    let mut report = |step: &warehouse::setup::Step<'_>| {
        let outcome = match &step.outcome {
            Outcome::Created => "created",
            Outcome::AlreadyThere => "already there",
            Outcome::Done(text) if text.is_empty() => "done",
            Outcome::Done(text) => text,
        };
        failure::print_data(&format!("{}: {outcome}", step.statement.summary()));
    };
    let run = warehouse::setup::run(
        &warehouse,
        &folder,
        &args.warehouse,
        &contracts,
        &mut report,
    );
    Ok(runtime()?.block_on(run)?)
}

fn create_topics(config: &Config, pipeline: &Pipeline) -> anyhow::Result<()> {
    let admin = Admin::connect(&Kafka::new((&config.kafka).into()))?;
    for topic in tables::topics(config, pipeline) {
        let outcome = match admin.create(&topic)? {
            TopicOutcome::Created => format!("created with {} partitions", topic.partitions),
            TopicOutcome::Exists { partitions } => {
                format!("already there with {partitions} partitions")
            }
        };
        failure::print_data(&format!("topic {}: {outcome}", topic.name));
    }
    Ok(())
}

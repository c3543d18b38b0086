//! `sluicebox check`: everything that the service stands on, looked at in the order of dependence; what is wrong comes with the
//! statement, command or setting that repairs it. Nothing is changed but one file on the stage, which is removed
//! again, and no virtual warehouse is woken: SHOW and DESCRIBE need none that runs.
//! <https://docs.snowflake.com/en/sql-reference/sql/show-warehouses>

mod account;
mod grants;
mod inside;
mod kafka;
mod objects;
mod report;
mod stage_files;
mod topics;
mod virtual_warehouse;

use std::process::ExitCode;

use super::setup::Part;
use super::{failure, runtime, tables};
use crate::config::Config;
use crate::sql::Pipeline;
use report::{Report, Trouble};

/// Look at everything that the service needs, and say what repairs what is wrong.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
One line for each thing, in the order of dependence: ok, wrong, warning, or skipped because of something before. A wrong
line is followed by `fix:`, the SQL script, command or line of the configuration that repairs it, and by `or:` where there
may be another cause.

No virtual warehouse is woken: SHOW and DESCRIBE run without one. Nothing is changed but this: to see whether the stage can
be written to, one small file is written there and removed; where it cannot be removed, a warning names it.

With --json, stdout is one document:
  {\"ok\": bool, \"checks\": [{\"name\": text, \"status\": \"ok\"|\"warning\"|\"wrong\"|\"skipped\", \"found\": text,
                          \"fix\": text, \"or\": [text, ...]}, ...]}
`fix` and `or` are there where something can be done.

Exit code 0: nothing is wrong (warnings and what is skipped do not count). 1: something is wrong. 2: wrong usage, or a
configuration that cannot be read.")]
pub struct Args {
    /// What to look at [default: both]
    #[arg(value_enum)]
    part: Option<Part>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Looks at everything, and prints it.
///
/// # Errors
/// No thread, or no memory; what is wrong is no error.
pub fn run(config: &Config, args: &Args, program: &str) -> anyhow::Result<ExitCode> {
    let mut report = Report::new(!args.json);
    let pipeline = pipeline(config);
    let pipeline = match pipeline {
        Ok(pipeline) => {
            let found = format!(
                "{}: {} gold tables",
                pipeline.folder.display(),
                pipeline.gold.len()
            );
            report.add("pipeline", Ok(found));
            Some(pipeline)
        }
        Err(trouble) => {
            report.add("pipeline", Err(trouble));
            None
        }
    };
    if args.part != Some(Part::Warehouse) {
        kafka::check(&mut report, config, pipeline.as_ref(), program);
    }
    if args.part != Some(Part::Kafka) {
        let checking = inside::check(&mut report, config, pipeline.as_ref(), program);
        runtime()?.block_on(checking);
    }
    match args.json {
        true => failure::print_data(&report.json()?),
        false => failure::print_data(&report.summary()),
    }
    Ok(match report.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The pipeline, when its queries can be planned and its scripts declare tables that fit them.
fn pipeline(config: &Config) -> Result<Pipeline, Trouble> {
    let folder = &config.pipeline.folder;
    let pipeline = Pipeline::load(folder, config.pipeline_settings()).map_err(|error| {
        let trouble = Trouble::of(error);
        match folder.is_dir() {
            true => trouble,
            false => Trouble::new(trouble.found, "[pipeline] folder = \"<folder>\""),
        }
    })?;
    let targets = tables::targets(config, &pipeline).map_err(Trouble::of)?;
    tables::check_scripts(&pipeline, &targets).map_err(Trouble::of)?;
    Ok(pipeline)
}

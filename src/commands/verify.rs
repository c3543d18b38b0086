//! `sluicebox verify`: the views that the pipeline's scripts create, with their row counts.

use anyhow::bail;

use crate::config::Config;
use crate::warehouse::setup::{Variables, load};
use crate::warehouse::{self, Answer, Client};

use super::{failure, runtime};

/// Prints a line for each view.
///
/// # Errors
/// When a view is missing or cannot be read; the others are printed all the same.
pub fn run(config: &Config) -> anyhow::Result<()> {
    config.require_warehouse()?;
    let warehouse = warehouse::Config::from(&config.warehouse);
    let views = declared_views(config, &warehouse)?;
    let client = Client::new(&warehouse, &warehouse.read_key()?)?;
    let runtime = runtime()?;
    let mut missing = Vec::new();
    for view in views {
        match runtime.block_on(client.execute(&format!("SELECT COUNT(*) AS N FROM {view}"))) {
            Ok(answer) => failure::print_data(&format!("{view}: {} rows", count(&answer)?)),
            Err(error)
                if error.is_transient()
                    || matches!(error, warehouse::Error::Unauthorized { .. }) =>
            {
                return Err(error.into());
            }
            Err(error) => {
                eprintln!("{view}: {error}");
                missing.push(view);
            }
        }
    }
    if !missing.is_empty() {
        bail!(
            "{} cannot be read\nhint: run `sluicebox setup`, whose grants let the loader's role read the views",
            missing.join(", ")
        );
    }
    Ok(())
}

fn count(answer: &Answer) -> Result<i64, warehouse::Error> {
    answer.i64(0, "N")
}

/// The names in the CREATE VIEW statements of the scripts, without database and schema.
pub(super) fn declared_views(
    config: &Config,
    warehouse: &warehouse::Config,
) -> anyhow::Result<Vec<String>> {
    let statements = load(
        &config.pipeline.folder.join("warehouse"),
        &Variables::new(warehouse)?,
    )?;
    let name = |text: &str| {
        let mut words = text.split_whitespace().map(str::to_owned);
        words
            .by_ref()
            .find(|word| {
                !["CREATE", "OR", "REPLACE", "SECURE"].contains(&word.to_uppercase().as_str())
            })
            .filter(|word| word.eq_ignore_ascii_case("VIEW"))?;
        let name =
            words.find(|word| !["IF", "NOT", "EXISTS"].contains(&word.to_uppercase().as_str()))?;
        name.rsplit('.')
            .next()
            .map(|name| name.trim_matches('"').to_owned())
    };
    Ok(statements
        .iter()
        .filter_map(|statement| name(&statement.text))
        .collect())
}

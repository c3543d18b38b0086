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
    for View { name: view, .. } in views {
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

/// A view that the scripts create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Its name, without database and schema.
    pub(super) name: String,
    /// The ORDER BY that its text ends with. Whoever selects from the view has to say it again: the order of a view's rows is
    /// no part of its result.
    pub(super) order: String,
}

/// The views of the scripts, in the scripts' order.
pub(super) fn declared_views(
    config: &Config,
    warehouse: &warehouse::Config,
) -> anyhow::Result<Vec<View>> {
    let statements = load(
        &config.pipeline.folder.join("warehouse"),
        &Variables::new(warehouse)?,
    )?;
    Ok(statements
        .iter()
        .filter_map(|statement| created_view(&statement.text))
        .collect())
}

/// The view that a statement creates, if it creates one.
pub(super) fn created_view(text: &str) -> Option<View> {
    let is_one_of =
        |word: &str, words: &[&str]| words.iter().any(|other| word.eq_ignore_ascii_case(other));
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let kind = words.find(|word| !is_one_of(word, &["OR", "REPLACE", "SECURE"]))?;
    if !is_one_of(first, &["CREATE"]) || !is_one_of(kind, &["VIEW"]) {
        return None;
    }
    let name = words.find(|word| !is_one_of(word, &["IF", "NOT", "EXISTS"]))?;
    let name = name.rsplit('.').next()?.trim_matches('"').to_owned();
    let order = text.to_uppercase().rfind("ORDER BY").map(|at| &text[at..]);
    // One inside of parentheses is a window's, not the view's.
    let order = order
        .filter(|order| !order.contains(')'))
        .unwrap_or_default()
        .trim()
        .to_owned();
    Some(View { name, order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_known_by_its_name_and_order() {
        let view = |text: &str| created_view(text).map(|view| (view.name, view.order));
        let some = |name: &str, order: &str| Some((name.to_owned(), order.to_owned()));
        let table = [
            (
                "CREATE OR REPLACE VIEW D.S.V AS\nSELECT 1 AS A\nORDER BY a DESC",
                some("V", "ORDER BY a DESC"),
            ),
            (
                "create view if not exists v as select a from t",
                some("v", ""),
            ),
            (
                "CREATE SECURE VIEW V AS SELECT RANK() OVER (ORDER BY A) FROM T",
                some("V", ""),
            ),
            ("CREATE TABLE V (A DATE)", None),
            ("GRANT SELECT ON VIEW V TO ROLE R", None),
        ];
        for (text, expected) in table {
            assert_eq!(view(text), expected, "{text}");
        }
    }
}

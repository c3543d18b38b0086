//! What is in the account: the objects with their privileges, and the files of the stage.

use super::account::connected;
use super::grants::Grants;
use super::objects::{Need, Place, judge, line, needs};
use super::report::{Report, Trouble};
use super::{stage_files, virtual_warehouse};
use crate::commands::tables;
use crate::config::Config;
use crate::sql::Pipeline;
use crate::warehouse::setup::{TableContract, Variables, load, misfits};
use crate::warehouse::{self, Client, Error};

pub(super) async fn check(
    report: &mut Report,
    config: &Config,
    pipeline: Option<&Pipeline>,
    program: &str,
) {
    let client = connected(report, config, program).await;
    let mut may_write = false;
    match (&client, pipeline) {
        (None, _) => report.skip("warehouse objects", "needs role"),
        (_, None) => report.skip("warehouse objects", "needs pipeline"),
        (Some(client), Some(pipeline)) => {
            let looking = look_at_objects(report, config, pipeline, client, program);
            match looking.await {
                Ok(stage_is_good) => may_write = stage_is_good,
                Err(error) => {
                    report.add("warehouse objects", Err(Trouble::of(error)));
                }
            }
        }
    }
    stage_files::check(report, config, client.as_ref().filter(|_| may_write)).await;
}

/// The objects in the order of dependence; those in a database that is not there are not looked for. Whether the stage is good.
async fn look_at_objects(
    report: &mut Report,
    config: &Config,
    pipeline: &Pipeline,
    client: &Client,
    program: &str,
) -> anyhow::Result<bool> {
    let warehouse = warehouse::Config::from(&config.warehouse);
    let folder = pipeline.folder.join("warehouse");
    let scripts = load(&folder, &Variables::new(&warehouse)?)?;
    let targets = tables::targets(config, pipeline)?;
    let contracts = tables::contracts(&targets);
    let place = Place::new(config);
    let grants = Grants::of_role(client, &warehouse.role).await?;
    let mut missing: Option<String> = None;
    let mut stage_is_good = false;
    for need in needs(config, &targets, &scripts) {
        if let Some(outer) = &missing {
            report.skip(line(&need), format!("needs {outer}"));
            continue;
        }
        let mut judged = judge(&need, &grants, &place);
        let is_outer = matches!(need.kind, "DATABASE" | "SCHEMA");
        if let Err(trouble) = &mut judged
            && is_outer
            && !grants.know(need.kind, &need.name)
        {
            // Nothing of it is there: one command makes it with all that is in it.
            let all = format!("{program} setup warehouse --role ACCOUNTADMIN");
            trouble.fixes.insert(0, all);
        }
        let good = report.add(line(&need), judged);
        if !good && is_outer {
            missing = Some(line(&need));
        }
        stage_is_good |= good && need.kind == "STAGE";
        if good && need.kind == "WAREHOUSE" {
            virtual_warehouse::check(report, client, &need.name).await?;
        }
        let contract = contracts
            .iter()
            .find(|contract| need.kind == "TABLE" && need.name == place.full(&contract.name));
        if let Some(contract) = contract {
            columns(report, client, &place, &need, contract, good).await?;
        }
    }
    Ok(stage_is_good)
}

async fn columns(
    report: &mut Report,
    client: &Client,
    place: &Place,
    need: &Need,
    contract: &TableContract,
    visible: bool,
) -> Result<(), Error> {
    let name = format!("columns of {}", need.name);
    if !visible {
        report.skip(name, format!("needs {}", line(need)));
        return Ok(());
    }
    let misfits = misfits(client, &need.name, contract).await?;
    let found = if misfits.is_empty() {
        Ok(format!(
            "{} columns take what is written",
            contract.columns.len()
        ))
    } else {
        let (problems, statements): (Vec<_>, Vec<_>) = misfits.into_iter().unzip();
        Err(Trouble::new(
            problems.join("; "),
            place.script(&statements.concat()),
        ))
    };
    report.add(name, found);
    Ok(())
}

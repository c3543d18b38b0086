//! What is in the account: the objects with their privileges, and the files of the stage.

use std::time::Duration;

use super::account::connected;
use super::grants::Grants;
use super::objects::{Need, Place, judge, line, needs};
use super::report::{Report, Trouble};
use super::virtual_warehouse;
use crate::commands::tables;
use crate::config::Config;
use crate::sink::stage::Stage;
use crate::sql::Pipeline;
use crate::warehouse::setup::{TableContract, Variables, load, misfits};
use crate::warehouse::{self, Client, Error};

/// Longest wait for the stage's storage; its own client would try again for minutes.
const STORAGE_LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn check(
    report: &mut Report,
    config: &Config,
    pipeline: Option<&Pipeline>,
    program: &str,
) {
    let Some(client) = connected(report, config, program).await else {
        report.skip("warehouse objects", "needs role");
        return stage_files(report, config).await;
    };
    match pipeline {
        None => report.skip("warehouse objects", "needs pipeline"),
        Some(pipeline) => {
            let looking = look_at_objects(report, config, pipeline, &client, program);
            if let Err(error) = looking.await {
                report.add("warehouse objects", Err(Trouble::of(error)));
            }
        }
    }
    stage_files(report, config).await;
}

/// The objects in the order of dependence; those in a database that is not there are not looked for.
async fn look_at_objects(
    report: &mut Report,
    config: &Config,
    pipeline: &Pipeline,
    client: &Client,
    program: &str,
) -> anyhow::Result<()> {
    let warehouse = warehouse::Config::from(&config.warehouse);
    let folder = pipeline.folder.join("warehouse");
    let scripts = load(&folder, &Variables::new(&warehouse)?)?;
    let targets = tables::targets(config, pipeline)?;
    let contracts = tables::contracts(&targets);
    let place = Place::new(config);
    let grants = Grants::of_role(client, &warehouse.role).await?;
    let mut missing: Option<String> = None;
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
    Ok(())
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

/// Whether files can be written where an external stage reads them.
async fn stage_files(report: &mut Report, config: &Config) {
    let section = &config.warehouse;
    let (name, url) = ("stage files", &section.stage_url);
    if url.is_empty() {
        return report.skip(name, "an internal stage: its privileges say it all");
    }
    let warehouse = warehouse::Config::from(section);
    let stage = match Stage::open(url, &warehouse.stage_properties) {
        Ok(stage) => stage,
        Err(error) => {
            let hint = error.hint();
            let Trouble { found, .. } = Trouble::of(error);
            report.add(name, Err(Trouble::new(found, hint)));
            return;
        }
    };
    let path = format!("sluicebox-check/{}.txt", uuid::Uuid::new_v4());
    let text = bytes::Bytes::from_static(b"written and removed by `sluicebox check`\n");
    let writing = tokio::time::timeout(STORAGE_LIMIT, stage.put(&path, text)).await;
    let found = match writing {
        Ok(Ok(())) => {
            stage.remove_all(&[path]).await;
            Ok(format!("{url} can be written to"))
        }
        Ok(Err(error)) => {
            let hint = error.hint();
            let Trouble { found, .. } = Trouble::of(error);
            Err(storage_trouble(found, hint, url))
        }
        Err(_) => Err(storage_trouble(
            format!("{url} does not answer within {} s", STORAGE_LIMIT.as_secs()),
            "check warehouse.stage_url, warehouse.stage_properties and the network",
            url,
        )),
    };
    report.add(name, found);
}

fn storage_trouble(found: String, hint: &str, url: &str) -> Trouble {
    match url.starts_with("s3://") {
        true => Trouble::new(
            found,
            "export SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_ACCESS_KEY_ID='<key>' \
             SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY='<secret>'",
        )
        .or(format!(
            "{hint}: s3:PutObject and s3:DeleteObject on {url}*"
        )),
        false => Trouble::new(found, hint),
    }
}

//! Whether files can be written where the stage keeps them, and removed again.

use std::time::Duration;

use super::objects::Place;
use super::report::{Report, Trouble};
use crate::config::Config;
use crate::warehouse::stage::{Stage, StageError};
use crate::warehouse::{self, Client, Error};

/// Longest wait for the stage's storage; its own client would try again for minutes.
const STORAGE_LIMIT: Duration = Duration::from_secs(20);

/// Writes a file and removes it. An internal stage takes a client whose role may.
pub(super) async fn check(report: &mut Report, config: &Config, client: Option<&Client>) {
    let name = "stage files";
    let warehouse = warehouse::Config::from(&config.warehouse);
    let stage_name = Place::new(config).full(&warehouse.stage);
    let (opened, place) = match (warehouse.stage_url.as_str(), client) {
        ("", None) => return report.skip(name, format!("needs stage {stage_name}")),
        ("", Some(client)) => (
            Stage::open(&client.without_retries(), &warehouse),
            stage_name,
        ),
        (url, _) => (Stage::external(&warehouse), url.to_owned()),
    };
    let files = Files {
        is_internal: warehouse.stage_url.is_empty(),
        place,
        role: warehouse.role.to_ascii_uppercase(),
    };
    let stage = match opened {
        Ok(stage) => stage,
        Err(error) => {
            report.add(name, Err(files.trouble(error)));
            return;
        }
    };
    match files.write_and_remove(&stage, STORAGE_LIMIT).await {
        Ok(None) => {
            report.add(name, Ok(format!("{} can be written to", files.place)));
        }
        Ok(Some(stays)) => report.warn(name, stays),
        Err(trouble) => {
            report.add(name, Err(trouble));
        }
    }
}

/// The files of a stage.
struct Files {
    is_internal: bool,
    /// The stage's name when it is internal, else its URL.
    place: String,
    role: String,
}

impl Files {
    /// What is wrong with writing; when nothing is, what keeps the file from being removed.
    async fn write_and_remove(
        &self,
        stage: &Stage,
        limit: Duration,
    ) -> Result<Option<Trouble>, Trouble> {
        let path = format!("sluicebox-check/{}.txt", uuid::Uuid::new_v4());
        let text = bytes::Bytes::from_static(b"written and removed by `sluicebox check`\n");
        let writing = tokio::time::timeout(limit, stage.put(&path, text)).await;
        let paths = [path];
        match writing {
            Ok(Ok(())) => {
                let stays = stage.remove_all(&paths).await;
                Ok(stays.map(|why| self.stays(&paths[0], &why)))
            }
            Ok(Err(error)) => Err(self.trouble(error)),
            Err(_) => {
                // The file may have got there all the same.
                let stays = stage.remove_all(&paths).await;
                Err(self.silence(limit, stays.map(|_| paths[0].as_str())))
            }
        }
    }

    fn silence(&self, limit: Duration, left: Option<&str>) -> Trouble {
        let found = format!(
            "{} does not answer within {}",
            self.place,
            humantime::format_duration(limit)
        );
        let left = left.map_or(String::new(), |path| {
            format!("; the file {path} may be there now")
        });
        let settings = match self.is_internal {
            true => "warehouse.proxy",
            false => "warehouse.stage_url, warehouse.stage_properties, warehouse.proxy",
        };
        Trouble::new(
            found + &left,
            format!("check {settings} and the network's way to the storage"),
        )
    }

    fn stays(&self, path: &str, why: &str) -> Trouble {
        let Self { place, role, .. } = self;
        let found = format!("{place} can be written to, but the file {path} stays there: {why}");
        match self.is_internal {
            true => Trouble::new(found, format!("USE ROLE {role}; REMOVE '@{place}/{path}';")),
            false => Trouble::new(
                found,
                format!(
                    "allow the service's credentials to delete under {place}, or loaded files stay there too"
                ),
            ),
        }
    }

    fn trouble(&self, error: StageError) -> Trouble {
        let hint = error.hint().unwrap_or_default();
        let (is_write, is_encryption) = (
            matches!(error, StageError::Write { .. }),
            takes_encrypted_files_only(&error),
        );
        let inside = self.is_internal.then(|| internal_fixes(&error)).flatten();
        let Self { place, role, .. } = self;
        let Trouble { found, .. } = Trouble::of(error);
        if self.is_internal && is_encryption {
            let again = format!(
                "USE ROLE ACCOUNTADMIN; CREATE OR REPLACE STAGE {place} ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE'); \
                 GRANT READ, WRITE ON STAGE {place} TO ROLE {role};"
            );
            return Trouble::new(found, again);
        }
        if let Some(fixes) = inside {
            return Trouble { found, fixes };
        }
        if is_write && place.starts_with("s3://") {
            return Trouble::new(
                found,
                "export SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_ACCESS_KEY_ID='<key>' \
                 SLUICEBOX_WAREHOUSE__STAGE_PROPERTIES__AWS_SECRET_ACCESS_KEY='<secret>'",
            )
            .or(format!(
                "{hint}: s3:PutObject and s3:DeleteObject on {place}*"
            ));
        }
        Trouble::new(found, hint)
    }
}

/// Whether the stage is there and only its kind of encryption is not ours: then, and only then, making it anew repairs it.
fn takes_encrypted_files_only(error: &StageError) -> bool {
    match error {
        StageError::ClientSideEncrypted { .. } => true,
        // The mock warehouse refuses such an upload; Snowflake answers it with the key to encrypt by.
        StageError::Refused {
            source: Error::Rejected { code, message, .. },
            ..
        } => code == "000002" && message.contains("SNOWFLAKE_SSE"),
        _ => false,
    }
}

/// What repairs the way to the storage behind an internal stage. Key and address come from the warehouse: no setting of ours has them.
fn internal_fixes(error: &StageError) -> Option<Vec<String>> {
    let is_refused = match error {
        StageError::Write { source, .. } => source.is_about_the_key(),
        StageError::Send { source, .. } => source.status().is_some(),
        StageError::Open { .. } => {
            let fix = "check warehouse.proxy and warehouse.ca_file";
            return Some(vec![fix.to_owned()]);
        }
        _ => return None,
    };
    let reach = "let this machine reach the storage behind the stage: warehouse.proxy, the firewall, the network policy of \
                 account and storage";
    let clock = "set this machine's clock, e.g. timedatectl set-ntp true: a storage refuses what is signed at another time";
    let fixes = match is_refused {
        true => vec![clock, reach],
        false => vec![reach],
    };
    Some(fixes.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
#[path = "stage_files_tests.rs"]
mod tests;

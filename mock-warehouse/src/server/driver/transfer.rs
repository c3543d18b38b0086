//! PUT and GET in, word to the driver out: which files, where the stage keeps them, and a key for that place alone.

use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer as answers;
use super::results::origin;
use super::sessions::DriverSession;
use crate::engine::{
    Bindings, Session, SqlError, StageEncryption, StageLocation, StageUse, StatementKind,
};
use crate::server::Server;
use crate::server::stage::{Scope, TemporaryKey};

/// Files of at least this size are uploaded in parts.
const MULTIPART_BYTES: u64 = 200 << 20;

/// The answer to a PUT or GET.
pub(super) async fn answer(
    server: &Server,
    session: &DriverSession,
    headers: &HeaderMap,
    sql: &str,
) -> Response {
    let handle = Uuid::new_v4().to_string();
    let mut engine = session.engine.lock().await;
    match Session::kind(sql) {
        StatementKind::Put => put(server, &engine, &origin(headers), sql),
        _ => get(server, &mut engine, &origin(headers), sql).await,
    }
    .map_or_else(
        |error| answers::failure(&error, Some(&handle)),
        |mut data| {
            data["queryId"] = handle.clone().into();
            answers::success(&data)
        },
    )
}

/// `PUT 'file:///folder/*.csv' '@stage/path' OVERWRITE=TRUE ...`: the driver expands the pattern.
fn put(server: &Server, engine: &Session, origin: &str, sql: &str) -> Result<Value, SqlError> {
    let command = Command::parse(sql)?;
    let [file, stage] = command.places;
    let location = engine.stage(&stage, StageUse::Write)?;
    require_server_side_encryption(&location)?;
    let folder = folder_of(&stage);
    let prefix = format!("{}{folder}", location.prefix);
    let option = |name: &str| command.options.iter().find(|(option, _)| option == name);
    let flag = |name: &str, usual: bool| {
        option(name).map_or(usual, |(_, value)| value.eq_ignore_ascii_case("TRUE"))
    };
    let compression = option("SOURCE_COMPRESSION").map_or("auto_detect", |(_, value)| value);
    let parallel: u32 = option("PARALLEL")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(4);
    Ok(json!({
        "command": "UPLOAD",
        "operation": "Node",
        "src_locations": [local_path(&file)?],
        "parallel": parallel,
        "threshold": MULTIPART_BYTES,
        "autoCompress": flag("AUTO_COMPRESS", true),
        "overwrite": flag("OVERWRITE", false),
        "sourceCompression": compression.to_lowercase(),
        "clientShowEncryptionParameter": false,
        "encryptionMaterial": null,
        "stageInfo": stage_info(server, origin, &location, &prefix, Scope::Write),
    }))
}

/// `GET '@stage/path' 'file:///folder/'`: every staged file whose name begins with the path.
async fn get(
    server: &Server,
    engine: &mut Session,
    origin: &str,
    sql: &str,
) -> Result<Value, SqlError> {
    let command = Command::parse(sql)?;
    if command.options.iter().any(|(name, _)| name == "PATTERN") {
        return Err(SqlError::new(
            "000002",
            "0A000",
            "Unsupported feature 'PATTERN of GET'.",
        ));
    }
    let [stage, folder] = command.places;
    let location = engine.stage(&stage, StageUse::Read)?;
    require_server_side_encryption(&location)?;
    let listed = engine
        .execute(&format!("LIST '{stage}'"), &Bindings::new())
        .await?;
    // Listed names begin with the stage's.
    let files = listed.rows.iter().filter_map(|row| {
        let (_, file) = row.first()?.as_ref()?.split_once('/')?;
        Some(file.to_owned())
    });
    Ok(json!({
        "command": "DOWNLOAD",
        "operation": "Node",
        "src_locations": files.collect::<Vec<_>>(),
        "localLocation": local_path(&folder)?,
        "parallel": 4,
        "threshold": MULTIPART_BYTES,
        "autoCompress": false,
        "overwrite": false,
        "sourceCompression": "none",
        "clientShowEncryptionParameter": false,
        "encryptionMaterial": null,
        "stageInfo": stage_info(server, origin, &location, &location.prefix, Scope::Read),
    }))
}

fn require_server_side_encryption(location: &StageLocation) -> Result<(), SqlError> {
    let problem = match location.encryption {
        StageEncryption::SnowflakeSse => return Ok(()),
        StageEncryption::SnowflakeFull => {
            "takes files that the client has encrypted, which this server does not offer: create the stage with \
             ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE')"
        }
        StageEncryption::External => {
            "is an external stage: PUT and GET take an internal one; write to its URL instead"
        }
    };
    let message = format!("Unsupported feature: stage {} {problem}.", location.name);
    Err(SqlError::new("000002", "0A000", message))
}

fn stage_info(
    server: &Server,
    origin: &str,
    location: &StageLocation,
    prefix: &str,
    scope: Scope,
) -> Value {
    let TemporaryKey {
        access_key,
        secret_key,
        token,
    } = server
        .stage_keys
        .issue(&format!("{}/{prefix}", location.bucket), scope);
    json!({
        "locationType": "S3",
        "location": format!("{}/{prefix}", location.bucket),
        "path": prefix,
        "region": "us-east-1",
        "storageAccount": null,
        "isClientSideEncrypted": false,
        "endPoint": origin,
        "useS3RegionalUrl": false,
        "useRegionalUrl": false,
        "presignedUrl": null,
        "creds": {
            "AWS_KEY_ID": access_key,
            "AWS_ID": access_key,
            "AWS_SECRET_KEY": secret_key,
            "AWS_KEY": secret_key,
            "AWS_TOKEN": token,
        },
    })
}

/// What follows the stage's name, as a folder: empty or ending in `/`.
fn folder_of(stage: &str) -> String {
    let path = stage.split_once('/').map_or("", |(_, path)| path);
    let path = path.trim_matches('/');
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    }
}

fn local_path(address: &str) -> Result<&str, SqlError> {
    address
        .strip_prefix("file://")
        .ok_or_else(|| syntax("a local file begins with 'file://'"))
}

fn syntax(reason: &str) -> SqlError {
    SqlError::new(
        "001003",
        "42000",
        format!("SQL compilation error:\n{reason}."),
    )
}

/// A PUT or GET: two places and options.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    places: [String; 2],
    /// Names in upper case.
    options: Vec<(String, String)>,
}

impl Command {
    fn parse(sql: &str) -> Result<Self, SqlError> {
        let mut words = words(sql.trim().trim_end_matches(';'))?.into_iter().skip(1);
        let (Some(from), Some(to)) = (words.next(), words.next()) else {
            return Err(syntax("PUT and GET take a file and a stage"));
        };
        let mut options = Vec::new();
        let rest: Vec<String> = words.collect();
        let rest = rest.join(" ").replace('=', " = ");
        let parts: Vec<&str> = rest.split_whitespace().collect();
        for option in parts.chunks(3) {
            let [name, "=", value] = option else {
                return Err(syntax("an option is written NAME = value"));
            };
            options.push((name.to_uppercase(), (*value).to_owned()));
        }
        Ok(Self {
            places: [from, to],
            options,
        })
    }
}

/// Splits at blanks outside of single quotes, and takes the quotes away.
fn words(sql: &str) -> Result<Vec<String>, SqlError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in sql.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    if quoted {
        return Err(syntax("a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_may_be_quoted_and_options_spaced() {
        let command =
            Command::parse("put 'file:///a b/x.csv' @db.s.st/in overwrite = true PARALLEL=8;")
                .unwrap();
        assert_eq!(command.places, ["file:///a b/x.csv", "@db.s.st/in"]);
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            command.options,
            [option("OVERWRITE", "true"), option("PARALLEL", "8")]
        );
        for wrong in [
            "PUT file:///x",
            "PUT 'file:///x @st",
            "PUT file:///x @st OVERWRITE",
        ] {
            assert_eq!(Command::parse(wrong).unwrap_err().code, "001003", "{wrong}");
        }
    }

    #[test]
    fn a_path_in_a_stage_is_a_folder() {
        for (stage, folder) in [
            ("@st", ""),
            ("@st/", ""),
            ("@db.s.st/a/b", "a/b/"),
            ("@st/a/", "a/"),
        ] {
            assert_eq!(folder_of(stage), folder, "{stage}");
        }
    }
}

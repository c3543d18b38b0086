//! A schema of one's own in a warehouse: made, used, dropped.

use std::env;
use std::time::Duration;

use sluicebox::keys::KeyPair;
use sluicebox::warehouse::stage::Stage;
use sluicebox::warehouse::{Answer, Client, Config, Error, RequestId};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::deployment::{ACCOUNT, ADMINISTRATOR, ServedWarehouse, USER};

/// The stage of the schema, internal.
pub(super) const STAGE: &str = "STAGED";
/// Its file format, as the pipelines have it.
const FORMAT: &str = "STAGED_PARQUET";

/// A warehouse, and the schema in it that the checks work in.
pub(super) struct Place {
    name: &'static str,
    /// Has no schema yet, so it can make and drop it.
    outside: Client,
    pub(super) client: Client,
    pub(super) config: Config,
    pub(super) stage: Stage,
    /// What has to be there first; nothing on a real account.
    objects: Vec<String>,
    /// Ends with the place.
    _mock: Option<(ServedWarehouse, TempDir)>,
}

impl Place {
    /// A mock warehouse that ends with the place.
    pub(super) fn mock() -> Self {
        let pair = KeyPair::generate(2048).expect("2048 bits are enough");
        let mock = ServedWarehouse::start(&pair);
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let key = folder.path().join("rsa_key.p8");
        pair.write_new(&key, None).expect("the folder is empty");
        let config = Config {
            private_key_file: key,
            account: ACCOUNT.to_owned(),
            user: USER.to_owned(),
            role: ADMINISTRATOR.to_owned(),
            warehouse: "CONFORMANCE_WH".to_owned(),
            database: "CONFORMANCE".to_owned(),
            url: mock.url.clone(),
            ..Config::default()
        };
        let objects = [
            "CREATE WAREHOUSE IF NOT EXISTS",
            "CREATE DATABASE IF NOT EXISTS",
        ];
        let names = [&config.warehouse, &config.database];
        let objects = objects
            .iter()
            .zip(names)
            .map(|(create, name)| format!("{create} {name}"))
            .collect();
        let mut place = Self::open("mock", config, &pair).expect("the settings are right");
        place.objects = objects;
        place._mock = Some((mock, folder));
        place
    }

    /// The account that the environment names.
    pub(super) fn account() -> Result<Self, String> {
        let setting = |name: &str| {
            let value = env::var(format!("SNOWFLAKE_{name}")).ok();
            value.ok_or_else(|| {
                format!("SNOWFLAKE_{name} is not set\nhint: ./dev conformance says what it needs")
            })
        };
        let config = Config {
            account: setting("ACCOUNT")?,
            user: setting("USER")?,
            role: setting("ROLE")?,
            warehouse: setting("WAREHOUSE")?,
            database: setting("DATABASE")?,
            private_key_file: setting("PRIVATE_KEY_FILE")?.into(),
            // For a private link, or a proxy in front of it.
            url: env::var("SNOWFLAKE_URL").unwrap_or_default(),
            ..Config::default()
        };
        let pair =
            KeyPair::read(&config.private_key_file, None).map_err(|error| error.to_string())?;
        Self::open("account", config, &pair).map_err(|error| error.to_string())
    }

    fn open(name: &'static str, mut config: Config, pair: &KeyPair) -> Result<Self, Error> {
        let random = Uuid::new_v4().simple().to_string().to_uppercase();
        config.stage = STAGE.to_owned();
        config.statement_timeout = Duration::from_secs(120);
        config.schema = "PUBLIC".to_owned();
        let outside = Client::new(&config, pair)?;
        config.schema = format!("SLUICEBOX_CONFORMANCE_{random}");
        let client = Client::new(&config, pair)?;
        let stage = Stage::open(&client, &config).expect("an internal stage opens");
        Ok(Self {
            name,
            outside,
            client,
            config,
            stage,
            objects: Vec::new(),
            _mock: None,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Its schema, in full.
    pub(super) fn schema(&self) -> String {
        format!("{}.{}", self.config.database, self.config.schema)
    }

    pub(super) async fn create(&self) -> Result<(), Error> {
        for sql in &self.objects {
            self.outside.execute(sql).await?;
        }
        let schema = self.schema();
        eprintln!("{} makes {schema}", self.name);
        for sql in [
            format!("CREATE SCHEMA {schema}"),
            format!(
                "CREATE FILE FORMAT {schema}.{FORMAT} TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE NULL_IF = ()"
            ),
            format!(
                "CREATE STAGE {schema}.{STAGE} ENCRYPTION = (TYPE = 'SNOWFLAKE_SSE') FILE_FORMAT = (FORMAT_NAME = '{schema}.{FORMAT}')"
            ),
        ] {
            self.outside.execute(&sql).await?;
        }
        Ok(())
    }

    pub(super) async fn drop(&self) -> Result<(), Error> {
        let sql = format!("DROP SCHEMA IF EXISTS {}", self.schema());
        self.outside.execute(&sql).await.map(drop)
    }

    /// How many schemas of such a name there are.
    pub(super) async fn schemas_left(&self) -> Result<usize, String> {
        let sql = format!(
            "SHOW SCHEMAS LIKE '{}' IN DATABASE {}",
            self.config.schema, self.config.database
        );
        let answer = self.outside.execute(&sql).await;
        answer
            .map(|answer| answer.rows.len())
            .map_err(|error| refusal(&error))
    }

    /// Runs one statement.
    pub(super) async fn run(&self, sql: &str) -> Result<Answer, String> {
        self.client
            .execute(sql)
            .await
            .map_err(|error| refusal(&error))
    }

    /// Runs several statements in one request.
    pub(super) async fn several(&self, statements: &[&str]) -> Result<Vec<Answer>, String> {
        let statements: Vec<_> = statements.iter().map(|sql| (*sql).to_owned()).collect();
        let answers = self.client.execute_all(&statements, RequestId::new()).await;
        answers.map_err(|error| refusal(&error))
    }

    /// The answer's cells, `NULL` for none; cells by a blank, rows by a comma.
    pub(super) async fn text(&self, sql: &str) -> Result<String, String> {
        Ok(cells(&self.run(sql).await?))
    }

    /// A staged file, to select from.
    pub(super) fn staged(&self, path: &str) -> String {
        format!("'@{STAGE}/{path}' (FILE_FORMAT => '{FORMAT}')")
    }
}

/// The answer's cells, `NULL` for none; cells by a blank, rows by a comma.
pub(super) fn cells(answer: &Answer) -> String {
    let row = |row: &Vec<Option<String>>| {
        let cells: Vec<_> = row
            .iter()
            .map(|cell| cell.as_deref().unwrap_or("NULL"))
            .collect();
        cells.join(" ")
    };
    answer.rows.iter().map(row).collect::<Vec<_>>().join(", ")
}

/// Code, SQLSTATE and the first line of what the warehouse says, without what differs from account to account.
pub(super) fn refusal(error: &Error) -> String {
    let first = |message: &str| {
        let line = message.lines().next().unwrap_or_default();
        line.split(" [")
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    match error {
        Error::Rejected {
            code,
            sql_state,
            message,
        } => {
            let state = sql_state.as_deref().unwrap_or("no SQLSTATE");
            format!("{code} {state} {}", first(message))
        }
        Error::Unauthorized { code, message, .. } => format!("{code} {}", first(message)),
        other => other.to_string(),
    }
}

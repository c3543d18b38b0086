//! What makes up a mock warehouse, and how it is served.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::{Bindings, Engine, OpenError, SqlError, User};
use crate::key::PublicKey;
use crate::server::{BreakableListener, Connection, Faults, Server, Settings, StageAccess};

/// The bucket that the engine keeps the files of internal stages in.
const INTERNAL_STAGES: &str = "internal";

/// Where tables and stage files are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Storage {
    /// Gone with the process.
    #[default]
    Memory,
    /// In this folder, which is created when it is missing.
    Folder(PathBuf),
}

/// A user who may sign in with a key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Login name.
    pub name: String,
    /// The role of a session that names none; it is created and granted.
    pub role: String,
    /// One key, or two while keys are rotated.
    pub public_keys: Vec<PublicKey>,
}

/// What a mock warehouse needs to know. [`Config::new`] fills in what most callers leave as it is.
#[derive(Clone)]
pub struct Config {
    /// Account as in the host name; a region after the first `.` is cut off.
    pub account: String,
    /// Users to create, or to bring up to date, at the start.
    pub users: Vec<Registration>,
    /// Where data is kept.
    pub storage: Storage,
    /// Bucket of the S3 endpoint that external stages point at.
    pub bucket: String,
    /// Access key of the S3 endpoint.
    pub s3_access_key: String,
    /// Secret key of the S3 endpoint.
    pub s3_secret_key: String,
    /// A statement that runs longer than this is answered with 202, e.g. 45 seconds as in the real service.
    pub synchronous_limit: Duration,
    /// A driver has to renew its session token after this time, e.g. one hour as in the real service.
    pub session_validity: Duration,
    /// Whether rules for faults are taken at `/admin/faults`, from anybody who reaches the port. They may run any SQL.
    pub admin: bool,
}

/// Why a warehouse cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be used.
    #[error("the warehouse's folder cannot be opened")]
    Open(#[from] OpenError),
    /// A user cannot be created.
    #[error("user {name} cannot be registered")]
    User {
        /// Login name.
        name: String,
        /// Why not.
        source: SqlError,
    },
}

/// A warehouse that can be served.
#[derive(Debug, Clone)]
pub struct MockWarehouse {
    config: Config,
    engine: Engine,
    faults: Faults,
}

impl Config {
    /// A warehouse in memory, without users, with well-known S3 keys and a bucket named `sluicebox`.
    pub fn new(account: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            users: Vec::new(),
            storage: Storage::Memory,
            bucket: "sluicebox".to_owned(),
            s3_access_key: "mock-access-key".to_owned(),
            s3_secret_key: "mock-secret-key".to_owned(),
            synchronous_limit: Duration::from_secs(45),
            session_validity: Duration::from_secs(3600),
            admin: false,
        }
    }

    /// Adds a user with one key.
    #[must_use]
    pub fn with_user(
        mut self,
        name: impl Into<String>,
        role: impl Into<String>,
        public_key: PublicKey,
    ) -> Self {
        self.users.push(Registration {
            name: name.into(),
            role: role.into(),
            public_keys: vec![public_key],
        });
        self
    }

    /// The account as it stands in a token's claims: `xy12345.us-east-1.aws` becomes `XY12345`.
    fn account_in_claims(&self) -> String {
        self.account
            .split('.')
            .next()
            .unwrap_or_default()
            .to_uppercase()
    }
}

impl fmt::Debug for Config {
    /// Without the secret key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("account", &self.account)
            .field("users", &self.users)
            .field("storage", &self.storage)
            .field("bucket", &self.bucket)
            .field("synchronous_limit", &self.synchronous_limit)
            .finish_non_exhaustive()
    }
}

impl MockWarehouse {
    /// Opens the data and registers the users.
    pub fn open(config: Config) -> Result<Self, StartError> {
        let engine = match &config.storage {
            Storage::Memory => Engine::in_memory(),
            Storage::Folder(folder) => Engine::open(folder)?,
        };
        for user in &config.users {
            let registered = engine.register_user(&User {
                name: user.name.to_uppercase(),
                public_keys: user
                    .public_keys
                    .iter()
                    .map(|key| key.as_base64().to_owned())
                    .collect(),
                default_role: Some(user.role.to_uppercase()),
                roles: vec![user.role.to_uppercase()],
            });
            registered.map_err(|source| StartError::User {
                name: user.name.clone(),
                source,
            })?;
        }
        Ok(Self {
            config,
            engine,
            faults: Faults::default(),
        })
    }

    /// Makes a storage integration that allows every stage URL, as an account administrator does once; one that is there stays.
    ///
    /// # Errors
    /// When `name` is no identifier.
    pub async fn create_storage_integration(&self, name: &str) -> Result<(), SqlError> {
        let statement = format!(
            "CREATE STORAGE INTEGRATION IF NOT EXISTS {name} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE \
             STORAGE_ALLOWED_LOCATIONS = ('*')"
        );
        self.engine
            .admin()
            .execute(&statement, &Bindings::new())
            .await?;
        Ok(())
    }

    /// The SQL engine, for set-up and inspection behind the API's back.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is to go wrong, and what has been counted; rules may be added and taken away while it serves.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// All endpoints, without a port. A fault that breaks the connection is an empty 502 here: there is none. Statements that still run are cancelled with `stop`.
    pub fn router(&self, stop: &CancellationToken) -> Router {
        self.server(stop).router(&self.stage_access())
    }

    /// Serves until `stop`; then statements that still run are cancelled and rolled back. The caller owns the port.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let server = self.server(&stop);
        let router = server
            .router(&self.stage_access())
            .into_make_service_with_connect_info::<Connection>();
        axum::serve(BreakableListener(listener), router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await?;
        server.wind_down().await;
        Ok(())
    }

    fn server(&self, stop: &CancellationToken) -> Server {
        let settings = Settings {
            account: &self.config.account_in_claims(),
            synchronous_limit: self.config.synchronous_limit,
            session_validity: self.config.session_validity,
            admin: self.config.admin,
        };
        Server::new(self.engine.clone(), &settings, self.faults.clone(), stop)
    }

    fn stage_access(&self) -> StageAccess {
        StageAccess {
            access_key: self.config.s3_access_key.clone(),
            secret_key: self.config.s3_secret_key.clone(),
            buckets: vec![self.config.bucket.clone(), INTERNAL_STAGES.to_owned()],
        }
    }
}

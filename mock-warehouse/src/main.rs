//! `mock-warehouse`: serves a mock warehouse until Ctrl-C or SIGTERM.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use mock_warehouse::{
    Config, Fault, MockWarehouse, PublicKey, Registration, StartError, Storage, WrongFault,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// A Snowflake-compatible server for tests, demos and development. Not for data that matters.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8084")]
    listen: SocketAddr,
    /// Account that clients name
    #[arg(long, default_value = "MOCK")]
    account: String,
    /// User who may sign in; repeat it, with its key file and role, for more users
    #[arg(long, value_name = "NAME", required = true)]
    user: Vec<String>,
    /// PEM file of the user's RSA public key
    #[arg(long, value_name = "FILE", required = true)]
    public_key_file: Vec<PathBuf>,
    /// The user's role
    #[arg(long, value_name = "ROLE", required = true)]
    role: Vec<String>,
    /// Seconds after which a driver has to renew its session token
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    session_validity: u64,
    /// What is to go wrong: KIND[:PARAMETER]@STEP[+SKIP][=TIMES|=PERCENT%]; may be repeated
    ///
    /// Without =TIMES or =PERCENT% it goes wrong each time; +SKIP lets so many requests of the step pass first.
    ///
    /// Kinds:
    ///   429[:SECONDS] 500 502 503[:SECONDS] 504   that status, with Retry-After; at the stage as S3 words it
    ///   reset, reset-after, drop-reply            the connection ends before the statement ran, or after it
    ///   delay:SECONDS, slow:SECONDS               the reply is late; the statement is late and answered with 202
    ///   forget, expire, revoke:USER               the statement, the token, the user's keys are no longer known
    ///   clock:SECONDS                             the server's clock is ahead, or behind when negative
    ///   quota:WAREHOUSE, sql:STATEMENTS           its credits are used up; an administrator runs SQL just before
    /// Steps:
    ///   login renew query upload download submit poll partition cancel
    ///
    /// Examples:
    ///   --fault 429:2@submit=3 --fault drop-reply@submit=5% --fault expire@upload+1=1
    ///   --fault 'sql:REVOKE INSERT ON TABLE DB.S.T FROM ROLE LOADER@submit+2=1'
    #[arg(long, value_name = "FAULT", value_parser = fault, verbatim_doc_comment)]
    fault: Vec<Fault>,
    /// Seed of the probabilities: the same seed and requests, the same faults
    #[arg(long, value_name = "N", default_value_t = 0)]
    fault_seed: u64,
    /// Take faults and give counters at /admin/faults, to anybody who reaches the port: they may run any SQL
    #[arg(long)]
    admin: bool,
    /// Folder to keep tables and staged files in; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Bucket of the S3 endpoint, for external stages
    #[arg(long, default_value = "sluicebox")]
    bucket: String,
    /// Storage integration to make at the start, as an account administrator would
    #[arg(long, value_name = "NAME", default_value = "SLUICEBOX_STAGE")]
    storage_integration: String,
    /// Access key of the S3 endpoint
    #[arg(long, default_value = "mock-access-key")]
    s3_access_key: String,
    /// Secret key of the S3 endpoint
    #[arg(
        long,
        default_value = "mock-secret-key",
        env = "MOCK_WAREHOUSE_S3_SECRET_KEY",
        hide_env_values = true
    )]
    s3_secret_key: String,
}

fn fault(text: &str) -> Result<Fault, String> {
    text.parse()
        .map_err(|error: WrongFault| format!("{error}\nhint: {}", WrongFault::hint()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.user.len() != arguments.public_key_file.len()
        || arguments.user.len() != arguments.role.len()
    {
        eprintln!(
            "error: {} users, {} key files and {} roles: each user takes one of each\nhint: mock-warehouse --help",
            arguments.user.len(),
            arguments.public_key_file.len(),
            arguments.role.len()
        );
        return ExitCode::from(2);
    }
    start_log();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `RUST_LOG` decides; the S3 library logs whole requests, signatures included, so it stays at warnings.
fn start_log() {
    let quiet = "s3s=warn".parse().expect("a constant directive");
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter.add_directive(quiet))
        .with_writer(io::stderr)
        .init();
}

async fn run(arguments: &Arguments) -> Result<()> {
    let config = config(arguments)?;
    let warehouse = MockWarehouse::open(config).map_err(|error| match error {
        StartError::Open(error) => {
            let hint = error.hint();
            anyhow!("--data: {:#}\nhint: {hint}", anyhow::Error::new(error))
        }
        other => anyhow::Error::new(other).context("the warehouse cannot start"),
    })?;
    warehouse.faults().set_seed(arguments.fault_seed);
    for fault in &arguments.fault {
        warehouse.faults().add(fault.clone());
    }
    warehouse
        .create_storage_integration(&arguments.storage_integration)
        .await
        .map_err(|error| anyhow!("--storage-integration: {}", error.message))?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "port {} is in use on {}\nhint: end the process that holds it, or choose another with --listen",
            arguments.listen.port(),
            arguments.listen.ip()
        ),
        _ => anyhow!("cannot listen on {}: {error}\nhint: choose another address with --listen", arguments.listen),
    })?;
    // Before the banner: whoever has read it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    print_banner(arguments, listener.local_addr()?);
    let stop = CancellationToken::new();
    let mut serving = pin!(warehouse.serve(listener, stop.clone()));
    let served = tokio::select! {
        served = &mut serving => served,
        _ = interrupt.recv() => {
            stop.cancel();
            serving.await
        }
        _ = terminate.recv() => {
            stop.cancel();
            serving.await
        }
    };
    served.context("serving failed")
}

fn config(arguments: &Arguments) -> Result<Config> {
    let mut config = Config::new(&arguments.account);
    let keys = arguments.public_key_file.iter().zip(&arguments.role);
    for (name, (file, role)) in arguments.user.iter().zip(keys) {
        let text = fs::read_to_string(file).map_err(|error| {
            anyhow!(
                "cannot read {}: {error}\nhint: --public-key-file names the user's public key",
                file.display()
            )
        })?;
        let key: PublicKey = text.parse().map_err(|error| {
            anyhow!(
                "{}: {error}\nhint: openssl rsa -in KEY.p8 -pubout -out KEY.pub",
                file.display()
            )
        })?;
        config.users.push(Registration {
            name: name.clone(),
            role: role.clone(),
            public_keys: vec![key],
        });
    }
    config.storage = arguments
        .data
        .clone()
        .map_or(Storage::Memory, Storage::Folder);
    config.session_validity = Duration::from_secs(arguments.session_validity);
    config.admin = arguments.admin;
    config.bucket.clone_from(&arguments.bucket);
    config.s3_access_key.clone_from(&arguments.s3_access_key);
    config.s3_secret_key.clone_from(&arguments.s3_secret_key);
    Ok(config)
}

/// The notice goes to stderr; the lines for `sluicebox.toml` are the program's output.
fn print_banner(arguments: &Arguments, address: SocketAddr) {
    let (account, user, role, bucket) = (
        &arguments.account,
        &arguments.user[0],
        &arguments.role[0],
        &arguments.bucket,
    );
    eprintln!(
        "mock-warehouse: for tests, demos and development only. Listening on http://{address}"
    );
    eprintln!(
        "Paste this into sluicebox.toml, and set private_key_file to the private key of {user}:\n"
    );
    let settings = format!(
        "[warehouse]\n\
         account = \"{account}\"\n\
         url = \"http://{address}\"\n\
         user = \"{user}\"\n\
         role = \"{role}\"\n\
         \n\
         # For an external stage instead of an internal one, in [warehouse]: stage_url = \"s3://{bucket}/\"\n\
         # [warehouse.stage_properties]\n\
         # aws_endpoint = \"http://{address}\"\n\
         # aws_region = \"us-east-1\"\n\
         # aws_access_key_id = \"{}\"\n\
         # aws_allow_http = \"true\"\n\
         # aws_secret_access_key = the value of --s3-secret-key\n",
        arguments.s3_access_key
    );
    // At once, and for nobody in particular: whoever reads no further than the address must not end the server.
    let mut stdout = io::stdout();
    let written = stdout.write_all(settings.as_bytes());
    if let Err(error) = written.and_then(|()| stdout.flush()) {
        tracing::debug!(%error, "nobody reads the settings");
    }
}

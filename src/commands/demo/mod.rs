//! `sluicebox demo`: the whole path in one process, with a real HTTP server between sink and warehouse.

mod ending;
mod picture;

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mock_warehouse::{MockWarehouse, PublicKey};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::run::{Work, await_all};
use super::verify::{View, declared_views};
use super::{Signals, logging, runtime, tables};
use crate::broker::Kafka;
use crate::broker::mock::MockBroker;
use crate::config::{Config, LogSection};
use crate::generate::{self, GenerateArgs, Ratio, Summary};
use crate::keys::KeyPair;
use crate::status::{Job, Status};
use crate::warehouse::{self, Client, setup};
use picture::Picture;

/// The account that the mock warehouse answers for.
const ACCOUNT: &str = "DEMO";
/// The role that the set-up scripts run as.
const ADMINISTRATOR: &str = "ACCOUNTADMIN";
/// Size of the key that is made for the demo.
const KEY_BITS: usize = 2048;
/// The mock broker keeps 5 MB a partition, and three of the five customers share one.
const MOST_RATE: i64 = 2_000;

/// Show the whole path in one process: mock Kafka, mock warehouse, generator and all three jobs.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// How long events are generated, for example 30s or 2m
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    duration: Duration,
    /// Events per second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=MOST_RATE), value_name = "EVENTS")]
    rate: u32,
    /// Same seed, same events [default: a new one each time]
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the demo and prints what it has shown.
///
/// # Errors
/// When a part fails, or the books do not balance in the end.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    logging::start(&LogSection {
        level: "warn".to_owned(),
        ..LogSection::default()
    })?;
    let runtime = runtime()?;
    let done = runtime.block_on(Box::pin(show(args)));
    runtime.shutdown_background();
    done
}

async fn show(args: &DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let stop = CancellationToken::new();
    let mut helpers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    // Apart from what is waited for: nobody waits for a signal that does not come.
    let mut waiting = JoinSet::new();
    let (signals, on_signal) = (Signals::listen()?, stop.clone());
    waiting.spawn(async move { signals.stop(&on_signal).await });

    let mut picture = Picture::new(args.duration);
    picture.say("starting a Kafka cluster inside this process");
    let broker = MockBroker::start()?;
    picture.say("making a key pair and starting the mock warehouse");
    let folder = tempfile::tempdir().context("making a folder for the demo's key")?;
    let key_file = folder.path().join("rsa_key.p8");
    let pair = tokio::task::spawn_blocking(|| KeyPair::generate(KEY_BITS)).await??;
    pair.write_new(&key_file, None)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut config = demo_config(&broker.servers(), &url, &key_file)?;
    config.state.folder = folder.path().join("state");
    let mock = open_warehouse(&config, &pair)?;
    let warehouse_stop = CancellationToken::new();
    helpers.spawn({
        let stop = warehouse_stop.clone();
        async move {
            mock.serve(listener, stop)
                .await
                .context("serving the mock warehouse")
        }
    });

    let work = Arc::new(Work::prepare(config, &[Job::Clean, Job::Gold, Job::Sink])?);
    for topic in tables::topics(&work.config, work.pipeline()) {
        broker.create_topic(&topic.name, topic.partitions)?;
    }
    picture.say(&format!(
        "setting up the warehouse at {url} by {}",
        work.config.pipeline.folder.join("warehouse").display()
    ));
    let client = set_up(&work).await?;
    let views = declared_views(
        &work.config,
        &warehouse::Config::from(&work.config.warehouse),
    )?;
    let jobs_stop = CancellationToken::new();
    let mut jobs = pin!(await_all(work.start(&jobs_stop)?, &jobs_stop));
    picture.say(&format!(
        "generating {} events per second, a quarter of them invalid",
        args.rate
    ));
    let generator = generate_into(&work, args, stop.child_token());
    let watched = Watched {
        status: &work.status,
        client: &client,
        views: &views,
        started,
    };
    let sent = tokio::select! {
        early = &mut jobs => {
            early?;
            bail!("the jobs ended before the generator");
        }
        sent = picture.watch(&watched, generator) => sent?,
    };
    picture.say("stopping the jobs; what waits is loaded first");
    jobs_stop.cancel();
    jobs.await?;
    ending::print(&work, &client, &views, sent).await?;
    warehouse_stop.cancel();
    await_all(helpers, &warehouse_stop).await
}

/// What the picture is drawn from.
struct Watched<'a> {
    status: &'a Status,
    client: &'a Client,
    views: &'a [View],
    started: Instant,
}

fn generate_into(
    work: &Work,
    args: &DemoArgs,
    stop: CancellationToken,
) -> JoinHandle<anyhow::Result<Summary>> {
    let kafka = generate::Kafka {
        client: Kafka::new((&work.config.kafka).into()).client(&[]),
        topic: work.config.topics.raw.clone(),
    };
    let events = GenerateArgs {
        topic: None,
        stdout: false,
        rate: Some(args.rate),
        count: None,
        duration: Some(args.duration),
        seed: args.seed,
        now: None,
        zone: generate::Zone::None,
        invalid_ratio: Ratio::QUARTER,
        bad_json: Ratio::ZERO,
        oversize: Ratio::ZERO,
        oversize_bytes: 1 << 20,
        missing_id: Ratio::ZERO,
        quiet: true,
    };
    tokio::task::spawn_blocking(move || generate::run(&events, &kafka, &stop))
}

/// The configuration of the checkout, aimed at the mocks of this process.
fn demo_config(servers: &str, url: &str, key_file: &Path) -> anyhow::Result<Config> {
    let key_file = key_file.to_string_lossy();
    let overrides = [
        ("kafka.bootstrap_servers", servers),
        ("sink.flush_interval", "2s"),
        ("warehouse.account", ACCOUNT),
        ("warehouse.url", url),
        ("warehouse.private_key_file", &key_file),
        ("warehouse.stage_url", ""),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Config::load(None, &overrides).context("the demo runs in a checkout of Sluicebox")
}

/// The service user may do everything here, so that it can run the set-up scripts, grants included.
fn open_warehouse(config: &Config, pair: &KeyPair) -> anyhow::Result<MockWarehouse> {
    let key = pair.public_key_base64().parse::<PublicKey>()?;
    let mock =
        mock_warehouse::Config::new(ACCOUNT).with_user(&config.warehouse.user, ADMINISTRATOR, key);
    Ok(MockWarehouse::open(mock)?)
}

async fn set_up(work: &Work) -> anyhow::Result<Client> {
    let config = warehouse::Config::from(&work.config.warehouse);
    let folder = work.config.pipeline.folder.join("warehouse");
    let args = setup::SetupArgs {
        dry_run: false,
        role: Some(ADMINISTRATOR.to_owned()),
    };
    setup::run(&config, &folder, &args, &work.contracts(), &mut |_| {}).await?;
    Ok(Client::new(&config, &config.read_key()?)?)
}

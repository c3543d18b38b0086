//! The commands of the binary: what was typed in, an exit code out.

pub mod check;
mod cli;
pub mod demo;
mod failure;
mod logging;
pub mod reconcile;
pub mod reset;
pub mod run;
pub mod setup;
mod tables;
pub mod verify;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::broker::Kafka;
use crate::config::Config;
use crate::{generate, keys, warehouse};
use cli::{Cli, Command};
pub use failure::{exit_code, hints};

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(code) => code,
        Err(error) => {
            failure::print(&error);
            exit_code(&error)
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    let done = ExitCode::SUCCESS;
    match &cli.command {
        Command::Demo(args) => demo::run(args).map(|()| done),
        Command::Run(args) => run::run(cli.load()?, &args.jobs()).map(|()| done),
        Command::Setup(args) => setup::run(&cli.load()?, args).map(|()| done),
        Command::Check(args) => match cli.load() {
            Ok(config) => check::run(&config, args, &cli.program()),
            Err(error) => {
                failure::print(&error.into());
                Ok(ExitCode::from(2))
            }
        },
        Command::Verify => verify::run(&cli.load()?).map(|()| done),
        Command::Reconcile(args) => reconcile::run(&cli.load()?, args),
        Command::Reset(args) => reset::run(&cli.load()?, args).map(|()| done),
        Command::Query(args) => {
            let config = cli.load()?;
            config.require_warehouse()?;
            let warehouse = warehouse::Config::from(&config.warehouse);
            let client = warehouse::Client::new(&warehouse, &warehouse.read_key()?)?;
            runtime()?.block_on(warehouse::query::run(&client, args))?;
            Ok(done)
        }
        Command::Generate(args) => {
            // Lines on stdout need no broker, and so no configuration.
            let config = if args.stdout {
                Config::default()
            } else {
                cli.load()?
            };
            let kafka = generate::Kafka {
                client: Kafka::new((&config.kafka).into()).client(&[]),
                topic: config.topics.raw,
            };
            let stop = CancellationToken::new();
            let runtime = runtime()?;
            let signals = runtime.block_on(async { Signals::listen() })?;
            let on_signal = stop.clone();
            runtime.spawn(async move { signals.stop(&on_signal).await });
            let summary = generate::run(args, &kafka, &stop);
            // Also after a failure: a dropped runtime would wait for a signal.
            runtime.shutdown_background();
            Ok(summary?.exit_code())
        }
        Command::Keys(command) => {
            keys::run(command)?;
            Ok(done)
        }
        Command::Config => {
            failure::print_data(&cli.load()?.describe());
            Ok(done)
        }
    }
}

/// A runtime whose threads are deep enough for DataFusion.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    const STACK_BYTES: usize = 16 << 20;
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()?)
}

/// Ctrl-C and SIGTERM, from now on: before this is made, either ends the process at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first one and asks for a clean end; a second one ends the process at once.
    async fn stop(mut self, stop: &CancellationToken) {
        tokio::select! {
            () = self.next() => {}
            () = stop.cancelled() => return,
        }
        stop.cancel();
        self.next().await;
        std::process::exit(130);
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

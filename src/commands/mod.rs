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
            runtime.spawn_blocking({
                let (stop, handle) = (stop.clone(), runtime.handle().clone());
                move || handle.block_on(stop_on_signal(&stop))
            });
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

/// Waits for the first Ctrl-C or SIGTERM and asks for a clean end; a second one ends the process at once.
async fn stop_on_signal(stop: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stop.cancelled() => return,
    }
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    std::process::exit(130);
}

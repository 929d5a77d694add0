//! The `s3dlio` command: glue between the [library](s3dlio) and a terminal.
//!
//! `arguments` says what can be written on the command line; each command is one file of `command`, which gets a
//! [`Session`](session::Session): the client, standard output, and what is counted and reported. Whatever ends a
//! command becomes an exit code in `failure`. A first interrupt cancels the client's token, so that commands end the
//! way they end on any error; then the client's clean-up is waited for.

mod arguments;
mod command;
mod failure;
mod filter;
mod input;
mod interrupt;
mod log;
mod output;
mod progress;
mod session;

use std::process::ExitCode;
use std::time::Duration;

use s3dlio::{CancellationToken, Client, Config};

use arguments::{Command, Invocation};
use failure::Exit;
use session::Session;

/// How long file operations that are under way in threads may take to end once all else has ended.
const THREADS_LIMIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let invocation = match arguments::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(exit) => return exit.into(),
    };
    let result = match &invocation.command {
        // Needs no configuration, and must work beside a broken one.
        Command::Completions(arguments) => command::completions::run(arguments),
        _ => with_runtime(invocation),
    };
    result.unwrap_or_else(|error| failure::report(&error)).into()
}

fn with_runtime(invocation: Invocation) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(run(invocation));
    runtime.shutdown_timeout(THREADS_LIMIT);
    exit
}

async fn run(invocation: Invocation) -> anyhow::Result<Exit> {
    let config = invocation.configuration()?;
    let progress = progress::Screen::new(invocation.quiet);
    if !invocation.quiet {
        for warning in config.warnings() {
            eprintln!("s3dlio: warning: {warning}");
        }
    }
    log::start(invocation.verbose, invocation.quiet, &progress);
    let cancel = CancellationToken::new();
    interrupt::listen(cancel.clone(), progress.clone())?;
    let session = Session::new(client(config, cancel), progress, invocation.quiet);
    Ok(session.finish(command::run(&invocation.command, &session).await).await)
}

fn client(config: Config, cancel: CancellationToken) -> Client {
    Client::new(config).with_cancellation(cancel)
}

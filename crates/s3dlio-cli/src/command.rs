//! The commands, one file each.

mod cat;
pub(crate) mod completions;
mod config;
mod cp;
mod demo;
mod du;
mod epochs;
mod get;
mod load;
mod ls;
mod mb;
mod mv;
mod put;
mod rb;
mod report;
mod rm;
mod stat;
mod target;

use crate::arguments::Command;
use crate::failure::Exit;
use crate::session::Session;

/// Runs a command.
///
/// # Errors
/// What ended it before it was through. What failed for one object among several has been said, and is in the exit
/// code.
pub(crate) async fn run(command: &Command, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Command::Ls(arguments) => ls::run(arguments, session).await,
        Command::Stat(arguments) => stat::run(arguments, session).await,
        Command::Cat(arguments) => cat::run(arguments, session).await,
        Command::Get(arguments) => get::run(arguments, session).await,
        Command::Put(arguments) => put::run(arguments, session).await,
        Command::Cp(arguments) => cp::run(arguments, session).await,
        Command::Mv(arguments) => mv::run(arguments, session).await,
        Command::Rm(arguments) => rm::run(arguments, session).await,
        Command::Du(arguments) => du::run(arguments, session).await,
        Command::Mb(arguments) => mb::run(arguments, session).await,
        Command::Rb(arguments) => rb::run(arguments, session).await,
        Command::Load(arguments) => load::run(arguments, session).await,
        Command::Demo(arguments) => demo::run(arguments, session).await,
        Command::Config(arguments) => config::run(arguments, session).await,
        Command::Completions(arguments) => completions::run(arguments),
    }
}

//! What ends a command, as an exit code and one line on standard error.

use std::fmt;
use std::process::ExitCode;

use clap::error::ErrorKind as ClapKind;
use s3dlio::{Error, ErrorKind, Operation};

/// How the process ends. The numbers are documented in `--help` and in docs/cli.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Success = 0,
    /// It failed.
    Failure = 1,
    /// The command line, a URI or the configuration is wrong.
    Usage = 2,
    /// Some of several objects failed, the others were done.
    Partial = 3,
    /// The object, prefix or bucket does not exist.
    NotFound = 4,
    /// Cancelled by a signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command line that can be parsed and makes no sense.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Nobody reads standard output any more, as after `| head`: an end, not a failure.
#[derive(Debug)]
pub(crate) struct NobodyReads;

impl fmt::Display for NobodyReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output")
    }
}

impl std::error::Error for NobodyReads {}

/// The exit code of an error.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<Usage>() {
        return Exit::Usage;
    }
    if error.is::<NobodyReads>() {
        return Exit::Success;
    }
    error.downcast_ref::<Error>().map_or(Exit::Failure, exit_of_store)
}

/// The exit code of an error of the library.
pub(crate) fn exit_of_store(error: &Error) -> Exit {
    match (error.kind(), error.operation()) {
        (ErrorKind::Config, _) | (_, Operation::Parse) => Exit::Usage,
        (ErrorKind::NotFound, _) => Exit::NotFound,
        (ErrorKind::Cancelled, _) => Exit::Interrupted,
        _ => Exit::Failure,
    }
}

/// An error with its causes. One of the library says them by itself.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(error) => error.to_string(),
        None => format!("{error:#}"),
    }
}

/// Says an error that came up before there was a session.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    eprintln!("s3dlio: {}", one_line(error));
    exit_of(error)
}

/// Answers what asks for help, and folds what clap has to say of a wrong command line into one line.
pub(crate) fn report_usage(error: &clap::Error) -> Exit {
    match error.kind() {
        ClapKind::DisplayHelp | ClapKind::DisplayVersion => {
            // Where nobody reads the help, there is nobody to tell.
            let _ = error.print();
            Exit::Success
        }
        ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage
        }
        _ => {
            eprintln!("s3dlio: {}", folded(&error.render().to_string()));
            Exit::Usage
        }
    }
}

/// clap's message without its usage lines, with its tips in parentheses.
fn folded(rendered: &str) -> String {
    let mut message = String::new();
    let mut tips = Vec::new();
    for line in rendered.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        match line.strip_prefix("tip: ") {
            Some(tip) => tips.push(tip.to_owned()),
            None => {
                let separator = if message.is_empty() { "" } else { " " };
                message.push_str(separator);
                message.push_str(line.strip_prefix("error: ").unwrap_or(line));
            }
        }
    }
    if tips.is_empty() {
        tips.push("see `s3dlio --help`".into());
    }
    format!("{message} ({})", tips.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_line() {
        let message = |arguments: &[&str]| {
            let error = crate::arguments::command_line(false).try_get_matches_from(arguments).unwrap_err();
            folded(&error.render().to_string())
        };
        assert_eq!(
            message(&["s3dlio", "ls", "--recursiv"]),
            "unexpected argument '--recursiv' found (a similar argument exists: '--recursive')"
        );
        assert_eq!(
            message(&["s3dlio", "stat"]),
            "the following required arguments were not provided: <URI>... (see `s3dlio --help`)"
        );
        assert_eq!(
            message(&["s3dlio", "ls", "s4://b"]),
            "invalid value 's4://b' for '[URI]': parse s4://b: invalid input: unknown scheme \"s4\" (did you mean \
             s3://?) (see `s3dlio --help`)"
        );
    }
}

//! What can be written on the command line.
//!
//! The commands and the few flags common to all are declared here; one more flag per configuration key is generated from
//! the library's table of keys, in [`keys`].

mod keys;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, FromArgMatches, Parser, Subcommand};
use s3dlio::{Config, Environment, Location, Scheme};

use crate::failure::{self, Exit};
use crate::filter::Filter;

pub(crate) use values::ByteRange;
use values::{key_and_value, location, scheme, size};

/// Exit codes, as `--help` shows them.
const EXIT_CODES: &str = "\
Exit codes:
  0    all was done
  1    it failed
  2    the command line, a URI or the configuration is wrong
  3    some of several objects failed, the others were done
  4    the object, prefix or bucket does not exist
  130  interrupted (Ctrl-C, SIGTERM); a second Ctrl-C ends at once, without cleaning up";

/// Moves and reads objects of s3://, az://, gs://, file://, direct://, memory:// and http(s)://
#[derive(Debug, Parser)]
#[command(
    name = "s3dlio",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Every key of the configuration is a flag too, e.g. --endpoint-url URL or --batch-size 64: see \
                  `s3dlio help config`.",
    after_long_help = EXIT_CODES
)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Log to standard error; twice for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Read this configuration file, and no other
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the configuration; the key's own flag does the same
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

/// One file of `command` each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List objects and prefixes, or buckets
    Ls(Ls),
    /// Show what is known of objects
    Stat(Stat),
    /// Write objects to standard output
    Cat(Cat),
    /// Download one object, or a prefix, to a path
    Get(Get),
    /// Upload one file, or standard input
    Put(Put),
    /// Copy objects from any store to any other
    #[command(aliases = ["upload", "download"])]
    Cp(Cp),
    /// Move objects from any store to any other
    Mv(Cp),
    /// Remove objects
    #[command(alias = "delete")]
    Rm(Rm),
    /// Count objects and bytes
    Du(Du),
    /// Make buckets, containers or directories
    Mb(Buckets),
    /// Remove empty buckets, containers or directories
    Rb(Buckets),
    /// Read a data set through the loader and measure it
    Load(Load),
    /// Make a data set, stream two shuffled epochs of it, verify every byte, and measure
    Demo(Demo),
    /// Show the configuration
    Config(ConfigArguments),
    /// Print the completion script of a shell
    Completions(Completions),
}

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// What to list: a bucket, a prefix, a directory; s3:// and the like list buckets
    #[arg(default_value = ".", value_parser = location)]
    pub(crate) uri: Location,
    /// List everything below, not one level
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Show size and time
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Show sizes as KiB, MiB and so on; implies --long
    #[arg(short = 'H', long)]
    pub(crate) human_readable: bool,
    /// Show whole URIs instead of names below what is listed
    #[arg(short, long)]
    pub(crate) uris: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print how many there are, and nothing else
    #[arg(short, long)]
    pub(crate) count: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

/// Arguments of `stat`.
#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// The objects
    #[arg(required = true, value_name = "URI", value_parser = location)]
    pub(crate) uris: Vec<Location>,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `cat`.
#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The objects, written one after the other
    #[arg(required = true, value_name = "URI", value_parser = location)]
    pub(crate) uris: Vec<Location>,
    /// Only these bytes of each, counted from 0: FIRST-LAST, FIRST- for the rest, -COUNT for the last COUNT
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The object, or with -r the prefix
    #[arg(value_parser = location)]
    pub(crate) uri: Location,
    /// A file or directory; - is standard output
    #[arg(default_value = ".")]
    pub(crate) path: PathBuf,
    /// Download everything below URI into PATH
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Leave files that exist as they are
    #[arg(long)]
    pub(crate) keep_existing: bool,
}

/// Arguments of `put`.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The file; - is standard input
    pub(crate) path: PathBuf,
    /// The object; below it, under the file's name, if it ends in /
    #[arg(value_parser = location)]
    pub(crate) uri: Location,
    /// The content type
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// User metadata; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_and_value)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Fail if the object exists
    #[arg(long)]
    pub(crate) if_absent: bool,
}

/// Arguments of `cp` and `mv`.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// Objects or files; with -r prefixes or directories
    #[arg(required = true, value_name = "SRC", value_parser = location)]
    pub(crate) sources: Vec<Location>,
    /// Where to; below it, under the same name, if it is a directory or a bucket, ends in /, or there are several SRC
    #[arg(value_name = "DST", value_parser = location)]
    pub(crate) target: Location,
    /// Take everything below SRC; of one SRC to below DST, of several each to below DST/NAME
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Leave objects that exist at the target as they are
    #[arg(long)]
    pub(crate) keep_existing: bool,
}

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// The objects, or with -r the prefixes
    #[arg(required = true, value_name = "URI", value_parser = location)]
    pub(crate) uris: Vec<Location>,
    /// Remove everything below
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Do not ask before -r removes
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

/// Arguments of `du`.
#[derive(Debug, Args)]
pub(crate) struct Du {
    /// Prefixes, directories or buckets
    #[arg(default_value = ".", value_name = "URI", value_parser = location)]
    pub(crate) uris: Vec<Location>,
    /// Show sizes as KiB, MiB and so on
    #[arg(short = 'H', long)]
    pub(crate) human_readable: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

/// Arguments of `mb` and `rb`.
#[derive(Debug, Args)]
pub(crate) struct Buckets {
    /// The buckets
    #[arg(required = true, value_name = "URI", value_parser = location)]
    pub(crate) uris: Vec<Location>,
}

/// Arguments of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Everything below this is the data set
    #[arg(value_parser = location)]
    pub(crate) uri: Location,
    /// URI is a file that lists the data set, one URI per line
    #[arg(long)]
    pub(crate) manifest: bool,
    /// How often the data set is read
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: u64,
    /// Take samples as they arrive (AsyncPoolDataLoader) instead of batches in order (DataLoader)
    #[arg(long)]
    pub(crate) pool: bool,
    /// Print one JSON object per epoch
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How large the data set is
    #[arg(long, default_value = "1GiB", value_parser = size)]
    pub(crate) size: u64,
    /// Make it below this bucket or prefix, instead of in a temporary directory
    #[arg(long, value_parser = location)]
    pub(crate) uri: Option<Location>,
    /// How often it is read
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) epochs: u64,
    /// Leave the data set where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every value with the place it came from
    Show(ConfigShow),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    /// Only the values for this scheme, e.g. s3
    #[arg(long, value_parser = scheme)]
    pub(crate) scheme: Option<Scheme>,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) verbose: u8,
    pub(crate) quiet: bool,
    pub(crate) command: Command,
    config: Option<PathBuf>,
    set: Vec<(String, String)>,
    flags: Vec<(&'static str, String)>,
}

impl Invocation {
    /// The configuration: this process's environment, the file, and what the command line sets.
    ///
    /// # Errors
    /// As `ConfigBuilder::build`.
    pub(crate) fn configuration(&self) -> s3dlio::error::Result<Config> {
        let mut builder = Config::builder().environment(Environment::capture());
        if let Some(file) = &self.config {
            builder = builder.file(file);
        }
        for (key, value) in &self.set {
            builder = builder.set(key.replace('-', "_"), value);
        }
        for (flag, value) in &self.flags {
            builder = builder.flag(flag, value);
        }
        builder.build()
    }
}

/// Understands a command line. What asks for help is answered here, and what is wrong is said.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, Exit> {
    let parsed = command_line(false).try_get_matches_from(arguments).and_then(|matches| {
        let CommandLine { global, command } = CommandLine::from_arg_matches(&matches)?;
        let Global { verbose, quiet, config, set } = global;
        Ok(Invocation { verbose, quiet, command, config, set, flags: keys::given(&matches) })
    });
    parsed.map_err(|error| failure::report_usage(&error))
}

/// The whole command line. The flags of the configuration's keys are in the help of `config` alone, but in every
/// completion.
pub(crate) fn command_line(show_keys: bool) -> clap::Command {
    <CommandLine as clap::CommandFactory>::command()
        .args(keys::flags().map(|flag| flag.hide(!show_keys)))
        .mut_subcommand("config", |config| config.after_help(keys::help()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command_line(false).debug_assert();
        command_line(true).debug_assert();
    }

    #[test]
    fn the_reference_page_has_every_command_and_flag() {
        let page = include_str!("../../../docs/cli.md");
        let own = |command: &clap::Command| {
            command.get_arguments().filter(|flag| flag.get_id() != "help").cloned().collect::<Vec<_>>()
        };
        let line = command_line(false);
        for flag in own(&<CommandLine as clap::CommandFactory>::command()) {
            let flag = flag.get_long().unwrap();
            assert!(page.contains(&format!("`--{flag}")), "--{flag} is missing");
        }
        for command in line.get_subcommands() {
            let heading = format!("\n## {}", command.get_name());
            let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("{} is missing", command.get_name()));
            let section = section.split("\n## ").next().unwrap();
            assert!(section.contains(&format!("\ns3dlio {}", command.get_name())), "{heading} has no example");
            for flag in own(command).iter().filter_map(clap::Arg::get_long) {
                assert!(section.contains(&format!("`--{flag}")), "{heading} lacks --{flag}");
            }
        }
        for code in EXIT_CODES.lines().skip(1) {
            let code = code.split_whitespace().next().unwrap();
            assert!(page.contains(&format!("\n| {code} |")), "exit code {code} is missing");
        }
    }
}

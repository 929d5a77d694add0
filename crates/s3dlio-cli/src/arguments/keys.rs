//! One flag per key of the configuration.

use std::fmt::Write;
use std::sync::LazyLock;

use clap::{Arg, ArgMatches};
use s3dlio::{Config, Key};

/// Every key with its flag, without the dashes.
static KEYS: LazyLock<Vec<(&'static Key, String)>> =
    LazyLock::new(|| Config::keys().map(|key| (key, key.flag().trim_start_matches('-').to_owned())).collect());

/// The flags, to be added to the whole command line.
pub(super) fn flags() -> impl Iterator<Item = Arg> {
    KEYS.iter().map(|(key, flag)| {
        let flag = Arg::new(key.name())
            .long(flag.as_str())
            .value_name(key.value_name())
            .help(key.description())
            .help_heading("Configuration")
            .global(true);
        match key.value_name() {
            // Alone it means true; a value is joined by `=`, so that what follows stays an argument.
            "BOOL" => flag.num_args(0..=1).require_equals(true).default_missing_value("true"),
            // The library says what is wrong with a value, a leading dash included.
            _ => flag.allow_hyphen_values(true),
        }
    })
}

/// The flags that were given, with their values.
pub(super) fn given(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let value = |key: &Key| matches.get_one::<String>(key.name()).cloned();
    KEYS.iter().filter_map(|(key, flag)| Some((flag.as_str(), value(key)?))).collect()
}

/// The flags as a list, for the help of `config`.
pub(super) fn help() -> String {
    let mut help = String::from(
        "Every key is a flag of every command, an S3DLIO_ variable, and a line of the configuration file\n\
         (--config FILE, $S3DLIO_CONFIG, or ~/.config/s3dlio/config.toml):\n",
    );
    for (key, flag) in KEYS.iter() {
        let value = match key.value_name() {
            "BOOL" => "[=BOOL]".to_owned(),
            name => format!(" {name}"),
        };
        // Writing to a string cannot fail.
        let _ = write!(help, "\n  --{flag}{value}\n      {} [default: {}]", key.description(), key.default());
    }
    help
}

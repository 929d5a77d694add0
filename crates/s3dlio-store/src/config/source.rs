//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::keys::Key;
use crate::uri::Scheme;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The default of the key. Shown as `default`.
    Default,
    /// The preset of the scheme. Shown as `preset (s3)`.
    Preset(Scheme),
    /// The configuration file. Shown as `file /path/config.toml:3`.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable, ours or a well-known one. Shown as its name.
    Variable(String),
    /// A flag of a command line. Shown as `--batch-size`.
    Flag(String),
    /// The program. Shown as `set explicitly`.
    Explicit,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(scheme) => write!(f, "preset ({scheme})"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Explicit => f.write_str("set explicitly"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One value with the place it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// The name of the key.
    pub key: &'static str,
    /// The value as it would be written.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
    /// What it means.
    pub description: &'static str,
}

/// A value that some layer gives to a key.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) key: &'static Key,
    pub(super) text: String,
    pub(super) source: Source,
}

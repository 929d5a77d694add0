//! The configuration file: TOML whose keys are the table's, with a table per scheme for what differs.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::Key;
use super::nearest;
use super::source::{Assignment, Source};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::uri::Scheme;

/// The tables of a file and the schemes that each is for.
const TABLES: [(&str, &[Scheme]); 7] = [
    ("s3", &[Scheme::S3]),
    ("az", &[Scheme::Azure]),
    ("gs", &[Scheme::Gcs]),
    ("file", &[Scheme::File]),
    ("direct", &[Scheme::Direct]),
    ("memory", &[Scheme::Memory]),
    ("http", &[Scheme::Http, Scheme::Https]),
];

/// What one file sets.
#[derive(Debug, Default)]
pub(super) struct FileLayer {
    common: Vec<Assignment>,
    by_scheme: Vec<(&'static [Scheme], Assignment)>,
}

impl FileLayer {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            Error::new(ErrorKind::Config, Operation::Configure, path.display().to_string())
                .with_message("the configuration file cannot be read")
                .with_hint("it is named by --config or S3DLIO_CONFIG, or lies in the configuration directory")
                .with_source(error)
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let lines = Lines { path, text };
        let root = DeTable::parse(text).map_err(|error| {
            let line = lines.of(error.span().map_or(0, |span| span.start));
            failure(&lines.name(line)).with_message(error.message().to_owned())
        })?;
        let mut layer = Self::default();
        for (name, value) in root.get_ref() {
            match (TABLES.iter().find(|(table, _)| *table == name.get_ref()), value.get_ref()) {
                (Some((_, schemes)), DeValue::Table(table)) => {
                    for (name, value) in table {
                        layer.by_scheme.push((schemes, lines.assignment(name, value)?));
                    }
                }
                (Some((table, _)), _) => {
                    let line = lines.of(name.span().start);
                    return Err(failure(&lines.name(line))
                        .with_message(format!("{table} is the name of a table, not of a value"))
                        .with_hint(format!("write [{table}] on a line of its own")));
                }
                (None, _) => layer.common.push(lines.assignment(name, value)?),
            }
        }
        Ok(layer)
    }

    /// What the file sets for `scheme`, the lower before the higher.
    pub(super) fn assignments(&self, scheme: Scheme) -> impl Iterator<Item = &Assignment> {
        let own = self.by_scheme.iter().filter(move |(schemes, _)| schemes.contains(&scheme));
        self.common.iter().chain(own.map(|(_, assignment)| assignment))
    }
}

/// Finds lines in a file.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    /// The line, counted from 1, of a byte.
    fn of(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn name(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    fn assignment(&self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Result<Assignment> {
        let line = self.of(name.span().start);
        let source = Source::File { path: PathBuf::from(self.path), line };
        let Some(key) = Key::find(name.get_ref()) else {
            return Err(self.unknown(name.get_ref(), value.get_ref(), &source));
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other => {
                return Err(failure(key.name()).with_message(format!(
                    "a value of type {} ({source}) is not {}",
                    other.type_str(),
                    key.accepts()
                )));
            }
        };
        Ok(Assignment { key, text, source })
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>, source: &Source) -> Error {
        if !matches!(value, DeValue::Table(_)) {
            return super::unknown_key(name, Some(source));
        }
        let error = failure(name).with_message(format!("unknown table ({source})"));
        match nearest(name, TABLES.into_iter().map(|(table, _)| table)) {
            Some(near) => error.with_hint(format!("did you mean [{near}]?")),
            None => error.with_hint("known are [s3], [az], [gs], [file], [direct], [memory] and [http]"),
        }
    }
}

fn failure(name: &str) -> Error {
    Error::new(ErrorKind::Config, Operation::Configure, name)
}

//! Environment variables: a snapshot, and what is looked up in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::source::{Assignment, Source};
use crate::config::keys::Key;
use crate::uri::Scheme;

/// What the name of each of our variables starts with.
const PREFIX: &str = "S3DLIO_";
/// The variable that names the configuration file.
const FILE: &str = "S3DLIO_CONFIG";
/// Variables of the test harness, which are not ours to judge.
const TEST_PREFIX: &str = "S3DLIO_TEST_";

/// A snapshot of environment variables. Backends look credentials up here, never in the process's environment.
///
/// Its `Debug` form shows names, never values: some of them are secrets.
///
/// ```
/// use s3dlio_store::Environment;
///
/// let environment = Environment::from_iter([("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_REGION", "")]);
/// assert_eq!(environment.get("AWS_SECRET_ACCESS_KEY"), Some("hunter2"));
/// assert_eq!(environment.get("AWS_REGION"), None); // set to nothing is not set
/// assert!(!format!("{environment:?}").contains("hunter2"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's environment as it is now. Nothing else in the library reads it.
    ///
    /// A name or a value that is not UTF-8 is kept with U+FFFD in place of what is wrong, so that a message can show
    /// it.
    pub fn capture() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Sets a variable of the snapshot; the process's environment stays as it is.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The user's home directory, by `HOME`.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// The names of the variables that are set and not empty, in byte order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// The configuration file that `S3DLIO_CONFIG` names.
    pub(super) fn named_file(&self) -> Option<PathBuf> {
        self.get(FILE).map(PathBuf::from)
    }

    /// Where the configuration file is by convention: `s3dlio/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.
    pub(super) fn usual_file(&self) -> Option<PathBuf> {
        // The XDG specification: a relative path is invalid and to be ignored.
        let base = self.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Some(base.or_else(|| Some(self.home()?.join(".config")))?.join("s3dlio/config.toml"))
    }

    /// What the `S3DLIO_*` variables set.
    pub(super) fn assignments(&self) -> Vec<Assignment> {
        Key::all()
            .filter_map(|key| {
                let name = key.variable();
                let text = self.get(&name)?.to_owned();
                Some(Assignment { key, text, source: Source::Variable(name) })
            })
            .collect()
    }

    /// A warning for each `S3DLIO_*` variable that nothing reads.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.names()
            .filter(|name| name.starts_with(PREFIX) && *name != FILE && !name.starts_with(TEST_PREFIX))
            .filter_map(|name| {
                let key = name[PREFIX.len()..].to_ascii_lowercase();
                match (Key::find(&key), Key::nearest(&key)) {
                    // A key in the wrong case is its own nearest; the name must be as documented.
                    (Some(known), _) if known.variable() == name => None,
                    (_, Some(near)) => Some(format!(
                        "the environment variable {name} is not one of s3dlio's and is ignored (did you mean {}?)",
                        near.variable()
                    )),
                    (_, None) => Some(format!(
                        "the environment variable {name} is not one of s3dlio's and is ignored \
                         (`s3dlio config show` lists the keys)"
                    )),
                }
            })
            .collect()
    }

    /// What variables that other tools established set for `scheme`.
    pub(super) fn well_known(&self, scheme: Scheme) -> Vec<Assignment> {
        match scheme {
            Scheme::S3 => self.well_known_aws(),
            Scheme::Gcs => self.well_known_gcs(),
            _ => Vec::new(),
        }
    }

    fn well_known_aws(&self) -> Vec<Assignment> {
        // AWS's own switch against the two endpoint variables.
        let endpoints: &[&str] = match self.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            Some(value) if value.eq_ignore_ascii_case("true") => &[],
            _ => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
        };
        let table: [(&str, &[&str]); 4] = [
            ("endpoint_url", endpoints),
            ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
            ("profile", &["AWS_PROFILE"]),
            ("ca_bundle", &["AWS_CA_BUNDLE"]),
        ];
        table
            .into_iter()
            .filter_map(|(key, names)| {
                let name = names.iter().find(|name| self.get(name).is_some())?;
                self.assign(key, name, str::to_owned)
            })
            .collect()
    }

    fn well_known_gcs(&self) -> Vec<Assignment> {
        // Google's clients accept `host:port` here and speak plain HTTP to it.
        let with_scheme = |value: &str| match value.contains("://") {
            true => value.to_owned(),
            false => format!("http://{value}"),
        };
        self.assign("endpoint_url", "STORAGE_EMULATOR_HOST", with_scheme).into_iter().collect()
    }

    fn assign(&self, key: &str, name: &str, text: impl Fn(&str) -> String) -> Option<Assignment> {
        let (key, value) = (Key::find(key)?, self.get(name)?);
        Some(Assignment { key, text: text(value), source: Source::Variable(name.to_owned()) })
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

//! The one configuration surface.
//!
//! [`UnifiedLoaderConfig`] holds every value that the engine reads, for one scheme. [`Config`] holds these values for
//! all schemes and says, for each, where it came from.
//!
//! Every value has one [`Key`], declared in one place, which serves the builder, the file, the environment, the flags
//! of the command and the arguments in Python. A value comes from the highest of these layers that has it:
//!
//! 1. set explicitly: [`ConfigBuilder::set`], [`ConfigBuilder::flag`], [`ConfigBuilder::with`],
//!    [`Config::with_overrides`]
//! 2. an `S3DLIO_*` environment variable
//! 3. the configuration file: its table for the scheme, then its top level
//! 4. a well-known environment variable: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`,
//!    `AWS_DEFAULT_REGION`, `AWS_PROFILE` and `AWS_CA_BUNDLE` for `s3://`; `STORAGE_EMULATOR_HOST` for `gs://`
//! 5. the preset of the scheme
//! 6. the default
//!
//! [`Environment::capture`] is the only place of the library that reads the process's environment. There is no global
//! state: a configuration is a value, and two of them may differ.

mod builder;
mod environment;
mod file;
mod keys;
mod kinds;
mod layers;
mod memory;
mod presets;
mod source;
mod unified;

use std::sync::Arc;

pub use builder::ConfigBuilder;
pub use environment::Environment;
pub use keys::Key;
pub use source::{Setting, Source};
pub use unified::{RequestLimit, UnifiedLoaderConfig};

use builder::Explicit;
use layers::Layers;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::uri::Scheme;

/// The configuration: the values of every scheme, and where each came from. Cheap to clone.
///
/// [`Config::default`] reads nothing: it has the defaults and the presets alone.
///
/// ```
/// use s3dlio_store::{Config, Scheme};
///
/// let config = Config::builder().set("range_chunk_size", "16MiB").build()?;
/// assert_eq!(config.for_scheme(Scheme::S3).range_chunk_size, 16 << 20);
///
/// let setting = &config.explain(Scheme::Direct)[3];
/// assert_eq!(setting.key, "max_concurrent_ranges_per_object");
/// assert_eq!((setting.value.as_str(), setting.source.to_string()), ("16", "preset (direct)".into()));
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Config {
    environment: Environment,
    layers: Arc<Layers>,
    warnings: Vec<String>,
}

impl Config {
    /// A builder that starts from the defaults and presets, with an empty environment and no file.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The configuration of this process: its environment, and the file that [`ConfigBuilder::environment`] finds.
    ///
    /// # Errors
    /// As [`ConfigBuilder::build`].
    pub fn from_environment() -> Result<Self> {
        Self::builder().environment(Environment::capture()).build()
    }

    /// The values for one scheme, with all layers applied.
    pub fn for_scheme(&self, scheme: Scheme) -> UnifiedLoaderConfig {
        self.layers.of(scheme).clone()
    }

    /// Every value for one scheme with the place it came from, in the order of the documentation.
    pub fn explain(&self, scheme: Scheme) -> Vec<Setting> {
        self.layers.settings(scheme)
    }

    /// Every key, in the order of the documentation.
    pub fn keys() -> impl Iterator<Item = &'static Key> {
        Key::all()
    }

    /// This configuration with some keys set explicitly, for every scheme.
    ///
    /// ```
    /// use s3dlio_store::Config;
    ///
    /// let error = Config::default().with_overrides([("batchsize", "8")]).unwrap_err();
    /// assert_eq!(error.to_string(), "configure batchsize: configuration: unknown key (did you mean batch_size?)");
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unknown key, a value that its key does not accept, or values that do not go
    /// together.
    pub fn with_overrides<K, V>(&self, overrides: impl IntoIterator<Item = (K, V)>) -> Result<Self>
    where
        K: Into<String>,
        V: ToString,
    {
        let mut layers = Layers::clone(&self.layers);
        for (key, value) in overrides {
            let (name, text) = (key.into(), value.to_string());
            Explicit::Named { name, text, source: Source::Explicit }.apply(&mut layers)?;
        }
        layers.check()?;
        Ok(Self { layers: Arc::new(layers), ..self.clone() })
    }

    /// The environment variables that were there when the configuration was made.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What was found wrong and is not an error: `S3DLIO_*` variables that nothing reads, a configuration directory
    /// that cannot be looked into. Each was logged as well.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The error for a name that is no key's.
fn unknown_key(name: &str, source: Option<&Source>) -> Error {
    let origin = source.map(|source| format!(" ({source})")).unwrap_or_default();
    let error = Error::new(ErrorKind::Config, Operation::Configure, name).with_message(format!("unknown key{origin}"));
    match Key::nearest(name) {
        Some(near) => error.with_hint(format!("did you mean {}?", near.name())),
        None => error.with_hint("`s3dlio config show` lists the keys"),
    }
}

/// The name that `wanted` was probably meant to be: within a third of its length in edits, or else with the same
/// beginning and most of the same letters, as `endpoint` and `endpoint_url`.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    const ALIKE: f64 = 0.85;
    let allowed = wanted.chars().count().div_ceil(3);
    let distances = names.clone().map(|name| (strsim::damerau_levenshtein(wanted, name), name));
    let typed = distances.filter(|(distance, _)| *distance <= allowed).min();
    typed.map(|(_, name)| name).or_else(|| {
        let alike = names.map(|name| (strsim::jaro_winkler(wanted, name), name));
        alike.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
    })
}

#[cfg(test)]
mod tests;

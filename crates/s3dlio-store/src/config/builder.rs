//! Puts the layers together.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::environment::Environment;
use super::file::FileLayer;
use super::keys::Key;
use super::layers::Layers;
use super::source::{Assignment, Source};
use super::{Config, UnifiedLoaderConfig, unknown_key};
use crate::error::Result;
use crate::uri::Scheme;

/// Gathers what a [`Config`] is made of. Nothing is read and nothing fails before [`build`](Self::build).
///
/// ```
/// use s3dlio_store::{Config, Environment, Scheme};
///
/// let config = Config::builder()
///     .environment(Environment::from_iter([("S3DLIO_BATCH_SIZE", "64"), ("S3DLIO_SEED", "7")]))
///     .set("batch_size", 128)
///     .with(|config| config.shuffle = true)
///     .build()?;
/// let values = config.for_scheme(Scheme::S3);
/// assert_eq!((values.batch_size, values.seed, values.shuffle), (128, 7, true));
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConfigBuilder {
    environment: Environment,
    file: Option<PathBuf>,
    explicit: Vec<Explicit>,
}

/// What the program itself sets.
#[derive(Clone)]
pub(super) enum Explicit {
    /// A key by its name, which may be unknown.
    Named { name: String, text: String, source: Source },
    /// Fields, by code.
    Typed(Arc<dyn Fn(&mut UnifiedLoaderConfig) + Send + Sync>),
}

impl fmt::Debug for Explicit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named { name, source, .. } => write!(f, "{name} ({source})"),
            Self::Typed(_) => f.write_str("with(…)"),
        }
    }
}

impl Explicit {
    /// Puts it over what the layers below made of each scheme.
    pub(super) fn apply(&self, layers: &mut Layers) -> Result<()> {
        match self {
            Self::Named { name, text, source } => {
                let flag = matches!(source, Source::Flag(_)).then_some(source);
                let key = Key::find(name).ok_or_else(|| unknown_key(name, flag))?;
                layers.assign(&Assignment { key, text: text.clone(), source: source.clone() })
            }
            Self::Typed(change) => {
                layers.change(change.as_ref());
                Ok(())
            }
        }
    }
}

impl ConfigBuilder {
    /// Takes `S3DLIO_*` and the well-known variables from `environment`, and with them the configuration file, unless
    /// [`file`](Self::file) names one: `$S3DLIO_CONFIG`, which must exist, else `s3dlio/config.toml` in
    /// `$XDG_CONFIG_HOME` or `~/.config`, where it exists.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Reads this configuration file, and no other.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Sets a key by its name, for every scheme, above all other layers. The last call for a key counts.
    pub fn set(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.explicit.push(Explicit::Named { name: key.into(), text: value.to_string(), source: Source::Explicit });
        self
    }

    /// As [`set`](Self::set), for a flag of a command line, by its name with or without the leading dashes: a message
    /// then names the flag.
    pub fn flag(mut self, flag: &str, value: impl ToString) -> Self {
        let flag = flag.trim_start_matches('-');
        let source = Source::Flag(format!("--{flag}"));
        self.explicit.push(Explicit::Named { name: flag.replace('-', "_"), text: value.to_string(), source });
        self
    }

    /// As [`set`](Self::set), by code: `change` is run on the values of each scheme, in turn with the other calls.
    /// Values that it leaves as they are keep their source.
    pub fn with(mut self, change: impl Fn(&mut UnifiedLoaderConfig) + Send + Sync + 'static) -> Self {
        self.explicit.push(Explicit::Typed(Arc::new(change)));
        self
    }

    /// Reads the file, puts the layers together and checks the result for every scheme.
    ///
    /// An `S3DLIO_*` variable that is not a key's is not an error: it is logged as a warning and kept in
    /// [`Config::warnings`]. The one file is read without leaving the thread.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a file that cannot be read, an unknown key (with the nearest
    /// known one), a value that its key does not accept, or values that do not go together; the message names the key,
    /// the value, where it came from and what is accepted.
    pub fn build(self) -> Result<Config> {
        let Self { environment, file, explicit } = self;
        let mut warnings = environment.warnings();
        let file = match file.or_else(|| environment.named_file()) {
            Some(path) => FileLayer::read(&path)?,
            None => read_usual_file(&environment, &mut warnings)?,
        };
        for warning in &warnings {
            tracing::warn!("{warning}");
        }

        let mut layers = Layers::default();
        for scheme in Scheme::ALL {
            for assignment in environment.well_known(scheme).iter().chain(file.assignments(scheme)) {
                layers.assign_for(scheme, assignment)?;
            }
        }
        for assignment in environment.assignments() {
            layers.assign(&assignment)?;
        }
        for explicit in explicit {
            explicit.apply(&mut layers)?;
        }
        layers.check()?;
        Ok(Config { environment, layers: Arc::new(layers), warnings })
    }
}

/// Reads the file where it is by convention. That it is not there is usual; that nobody can tell is said.
fn read_usual_file(environment: &Environment, warnings: &mut Vec<String>) -> Result<FileLayer> {
    let Some(path) = environment.usual_file() else { return Ok(FileLayer::default()) };
    match path.try_exists() {
        Ok(true) => FileLayer::read(&path),
        Ok(false) => Ok(FileLayer::default()),
        Err(error) => {
            warnings.push(format!("the configuration file {} cannot be looked for: {error}", path.display()));
            Ok(FileLayer::default())
        }
    }
}

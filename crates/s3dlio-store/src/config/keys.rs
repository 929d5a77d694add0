//! The table of keys.
//!
//! One list, in [`unified`](super::unified), declares each field of [`UnifiedLoaderConfig`] with its meaning, kind and
//! default. The macro below makes of it the struct, its `Default`, and the table of [`Key`]s from which the builder,
//! the file, the environment variables, the flags and the Python arguments are all served: they cannot differ.

use std::fmt;

use super::UnifiedLoaderConfig;
use super::kinds::without_password;
use crate::error::{Error, ErrorKind, Operation};

/// One key of the configuration.
///
/// ```
/// use s3dlio_store::config::Key;
///
/// let key = Key::find("range_chunk_size").expect("it is a key");
/// assert_eq!((key.variable(), key.flag()), ("S3DLIO_RANGE_CHUNK_SIZE".into(), "--range-chunk-size".into()));
/// assert_eq!((key.value_name(), key.default()), ("SIZE", "8MiB"));
/// ```
pub struct Key {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) default: &'static str,
    pub(super) value_name: &'static str,
    pub(super) accepts: fn() -> String,
    /// Puts the value that the text writes into the configuration; false if the text writes none.
    pub(super) assign: fn(&mut UnifiedLoaderConfig, &str) -> bool,
    pub(super) check: fn(&UnifiedLoaderConfig) -> bool,
    pub(super) print: fn(&UnifiedLoaderConfig) -> String,
}

impl Key {
    /// Every key, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = &'static Self> + Clone {
        super::unified::KEYS.iter()
    }

    /// The key of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().find(|key| key.name == name)
    }

    /// The key whose name is most like `name`, if one is like it at all.
    pub fn nearest(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let nearest = super::nearest(&name, Self::all().map(|key| key.name))?;
        Self::find(nearest)
    }

    /// Its name: the field of [`UnifiedLoaderConfig`], the name in a file, the keyword argument in Python.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its environment variable, e.g. `S3DLIO_BATCH_SIZE`.
    pub fn variable(&self) -> String {
        format!("S3DLIO_{}", self.name.to_ascii_uppercase())
    }

    /// Its flag on the command line, e.g. `--batch-size`.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// What it means, with the unit where that is not the value's own.
    pub fn description(&self) -> &'static str {
        self.description.trim_ascii_start()
    }

    /// What stands for its value in a usage line: `COUNT`, `NUMBER`, `SIZE`, `DURATION`, `BOOL`, `LIMIT`, `NAME`, `URL`
    /// or `FILE`.
    pub fn value_name(&self) -> &'static str {
        self.value_name
    }

    /// What values it accepts, e.g. `a whole number of at least 1`.
    pub fn accepts(&self) -> String {
        (self.accepts)()
    }

    /// Its default as it would be written, before any preset.
    pub fn default(&self) -> &'static str {
        self.default
    }

    /// Its value in `config`, as it would be written.
    pub fn print(&self, config: &UnifiedLoaderConfig) -> String {
        (self.print)(config)
    }

    /// Reads `text` into its field of `config`. The field's own bounds are checked, what it means beside other fields
    /// is not: that is [`UnifiedLoaderConfig::validate`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for text that writes no value, or one out of bounds; `config` is then as it was.
    pub fn assign(&self, config: &mut UnifiedLoaderConfig, text: &str) -> Result<(), Error> {
        self.try_assign(config, text).map_err(|rejected| rejected.into_error(None))
    }

    pub(super) fn try_assign(&self, config: &mut UnifiedLoaderConfig, text: &str) -> Result<(), Rejected> {
        let mut changed = config.clone();
        if !(self.assign)(&mut changed, text) || !(self.check)(&changed) {
            return Err(Rejected::out_of_bounds(self, text));
        }
        *config = changed;
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// A value that cannot be: of which key, and why.
#[derive(Debug)]
pub(super) struct Rejected {
    key: &'static str,
    value: String,
    reason: String,
}

impl Rejected {
    /// A value that its key does not accept by itself.
    pub(super) fn out_of_bounds(key: &Key, value: &str) -> Self {
        let reason = format!("is not {}", key.accepts());
        Self { key: key.name, value: without_password(value), reason }
    }

    /// A value that does not go with the value of another key.
    pub(super) fn beside(key: &'static str, value: impl ToString, reason: impl Into<String>) -> Self {
        Self { key, value: value.to_string(), reason: reason.into() }
    }

    /// The key whose value it is.
    pub(super) fn key(&self) -> &'static str {
        self.key
    }

    /// The error that names key, value, where it came from and what is accepted.
    pub(super) fn into_error(self, source: Option<&super::Source>) -> Error {
        let Self { key, value, reason } = self;
        let origin = source.map(|source| format!(" ({source})")).unwrap_or_default();
        Error::new(ErrorKind::Config, Operation::Configure, key).with_message(format!("{value:?}{origin} {reason}"))
    }
}

/// Declares [`UnifiedLoaderConfig`]: its fields, their kinds, their defaults and the words that document each default.
macro_rules! declare {
    (
        $(#[$outer:meta])*
        pub struct $config:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: $type:ty as $kind:ty = $default:expr, $shown:literal;
            )+
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, PartialEq)]
        pub struct $config {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault: ", $shown, ".")]
                pub $field: $type,
            )+
        }

        impl Default for $config {
            /// The defaults, which are those of the network schemes. How much memory may be used is asked anew.
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl std::fmt::Debug for $config {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // As they are written, which leaves out a password in an address.
                f.debug_struct(stringify!($config))
                    $(.field(stringify!($field), &format_args!("{}", <$kind as Kind>::print(&self.$field))))+
                    .finish()
            }
        }

        /// Every key, in the order of the documentation.
        pub(super) static KEYS: &[Key] = &[
            $(Key {
                name: stringify!($field),
                description: concat!($($doc),+),
                default: $shown,
                value_name: <$kind as Kind>::NAME,
                accepts: <$kind as Kind>::accepts,
                assign: |config, text| match <$kind as Kind>::parse(text) {
                    Some(value) => {
                        config.$field = value;
                        true
                    }
                    None => false,
                },
                check: |config| <$kind as Kind>::check(&config.$field),
                print: |config| <$kind as Kind>::print(&config.$field),
            },)+
        ];
    };
}

pub(super) use declare;

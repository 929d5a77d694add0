//! A location, parsed once, typed.
//!
//! A URI names a scheme, a bucket (or container, or host) and a key. Everything after the bucket is the key, byte for
//! byte: nothing is percent-decoded, no `//`, `.` or trailing `/` is tidied away. Two exceptions exist where a web
//! address stands for an object: `https://ACCOUNT.blob.core.windows.net/CONTAINER/KEY` is Azure's and is
//! percent-decoded, and any other `http(s)://` address is kept as it is written.
//!
//! For `az://` the first segment is the container, unless it is the name of an account; which of the two is decided
//! where the account is known, by one rule: see [`Location::split_azure_account`].

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Operation, Result};

/// Which backend a URI asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `s3://bucket/key`
    S3,
    /// `az://container/key`, `az://account/container/key` or `https://ACCOUNT.blob.core.windows.net/container/key`
    Azure,
    /// `gs://bucket/key` or `gcs://bucket/key`
    Gcs,
    /// `file:///path`, or a path that starts with `/`, `./`, `../` or `~/`
    File,
    /// `direct:///path`: the file system, past the page cache
    Direct,
    /// `memory:///key`
    Memory,
    /// `http://host/path`, read-only
    Http,
    /// `https://host/path`, read-only
    Https,
}

impl Scheme {
    /// Every scheme, in the order of the documentation.
    pub const ALL: [Self; 8] =
        [Self::S3, Self::Azure, Self::Gcs, Self::File, Self::Direct, Self::Memory, Self::Http, Self::Https];

    /// The scheme as it stands before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "az",
            Self::Gcs => "gs",
            Self::File => "file",
            Self::Direct => "direct",
            Self::Memory => "memory",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Whether bytes of this scheme come over a network.
    pub fn is_network(self) -> bool {
        matches!(self, Self::S3 | Self::Azure | Self::Gcs | Self::Http | Self::Https)
    }

    /// Whether the keys of this scheme are paths of a file system.
    pub fn is_file_system(self) -> bool {
        matches!(self, Self::File | Self::Direct)
    }

    /// Whether a URI of this scheme names a bucket (or container, or host) before the key.
    pub fn has_bucket(self) -> bool {
        self.is_network()
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A parsed URI: scheme, bucket and key.
///
/// ```
/// use s3dlio_store::{Location, Scheme};
///
/// let location: Location = "s3://bucket/a//b c/".parse()?;
/// assert_eq!((location.scheme(), location.bucket(), location.key()), (Scheme::S3, "bucket", "a//b c/"));
/// assert_eq!(location.to_string(), "s3://bucket/a//b c/");
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    scheme: Scheme,
    /// The Azure account, where the URI names it.
    account: Option<String>,
    /// The bucket, container or host; empty for schemes without one.
    bucket: String,
    /// The key as the store has it. For file systems: the absolute path without its leading `/`.
    key: String,
}

impl Location {
    /// Parses a URI or a file path. A relative path is taken from the current directory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an unknown scheme (the nearest known one is named), a missing bucket, a relative
    /// `file://` URI, or a NUL byte.
    pub fn parse(uri: &str) -> Result<Self> {
        if uri.contains('\0') {
            return Err(invalid(uri, "a URI cannot contain a NUL byte"));
        }
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Self::parse_path(uri);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => Self::parse_bucket(Scheme::S3, uri, rest),
            "az" | "azure" | "abfs" | "abfss" => Self::parse_bucket(Scheme::Azure, uri, rest),
            "gs" | "gcs" => Self::parse_bucket(Scheme::Gcs, uri, rest),
            "file" => Self::parse_absolute(Scheme::File, uri, rest),
            "direct" => Self::parse_absolute(Scheme::Direct, uri, rest),
            "memory" => Ok(Self::without_bucket(Scheme::Memory, rest.strip_prefix('/').unwrap_or(rest))),
            "http" => Self::parse_http(Scheme::Http, uri, rest),
            "https" => match split_azure_host(rest) {
                Some((account, path)) => Self::parse_azure_https(uri, account, path),
                None => Self::parse_http(Scheme::Https, uri, rest),
            },
            other => Err(unknown_scheme(uri, other)),
        }
    }

    fn parse_bucket(scheme: Scheme, uri: &str, rest: &str) -> Result<Self> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() && !key.is_empty() {
            return Err(invalid(uri, "the bucket is missing").with_hint(format!("write {scheme}://BUCKET/KEY")));
        }
        if let Some(bad) = bucket.chars().find(|c| c.is_whitespace() || c.is_control() || "@:?#%\\".contains(*c)) {
            return Err(invalid(uri, format!("a bucket's name cannot contain {bad:?}")));
        }
        Ok(Self { scheme, account: None, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    fn parse_absolute(scheme: Scheme, uri: &str, rest: &str) -> Result<Self> {
        let path = rest.strip_prefix("localhost/").map_or(rest, |_| &rest["localhost".len()..]);
        match path.strip_prefix('/') {
            Some(key) => Ok(Self::without_bucket(scheme, key)),
            None => Err(invalid(uri, "the path is not absolute")
                .with_hint(format!("write {scheme}:///absolute/path, or a plain path"))),
        }
    }

    fn parse_http(scheme: Scheme, uri: &str, rest: &str) -> Result<Self> {
        let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(invalid(uri, "the host is missing"));
        }
        if host.contains('@') {
            // Said without the URI, which would put the password into a log.
            return Err(invalid(&format!("{scheme}://…"), "user names and passwords in an address are not supported"));
        }
        Ok(Self { scheme, account: None, bucket: host.to_owned(), key: key.to_owned() })
    }

    fn parse_azure_https(uri: &str, account: &str, path: &str) -> Result<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if !query.is_empty() {
            return Err(invalid(&format!("https://{account}.blob…"), "a query is not part of an object's name")
                .with_hint("give a shared access signature by AZURE_STORAGE_SAS_TOKEN"));
        }
        let decoded = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| invalid(uri, "the path is not UTF-8 once it is percent-decoded"))?;
        let (container, key) = decoded.split_once('/').unwrap_or((&decoded, ""));
        Ok(Self {
            scheme: Scheme::Azure,
            account: Some(account.to_owned()),
            bucket: container.to_owned(),
            key: key.to_owned(),
        })
    }

    fn parse_path(path: &str) -> Result<Self> {
        if path.is_empty() {
            return Err(invalid("\"\"", "an empty string is not a URI"));
        }
        let absolute =
            std::path::absolute(path).map_err(|error| Error::from_io(error, Operation::Parse, path.to_owned()))?;
        let text = absolute.to_str().ok_or_else(|| invalid(path, "the current directory's path is not UTF-8"))?;
        let mut key = text.trim_start_matches('/').to_owned();
        if path.ends_with('/') && !key.is_empty() && !key.ends_with('/') {
            key.push('/');
        }
        Ok(Self::without_bucket(Scheme::File, &key))
    }

    fn without_bucket(scheme: Scheme, key: &str) -> Self {
        Self { scheme, account: None, bucket: String::new(), key: key.to_owned() }
    }

    /// Which backend this location asks for.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The Azure account, where the URI names it or [`Location::split_azure_account`] found it.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The bucket, container or host; empty for files and memory, and for a URI such as `s3://` that names none.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key, or the prefix, as the store has it. For file systems the absolute path without its leading `/`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same store with another key, which is taken as it is.
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    /// This location with `suffix` below it: one `/` is put between the two if there is none.
    pub fn join(&self, suffix: &str) -> Self {
        let separator = if self.key.is_empty() || self.key.ends_with('/') { "" } else { "/" };
        self.with_key(format!("{}{separator}{suffix}", self.key))
    }

    /// The last segment of the key; empty for a bucket or for a key that ends in `/`.
    pub fn file_name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The one rule for `az://` URIs: the first segment is an account's name if it equals the configured account, or if
    /// no account is configured; otherwise it is a container of the configured account.
    ///
    /// ```
    /// use s3dlio_store::Location;
    ///
    /// let uri = Location::parse("az://one/two/three")?;
    /// let with = |account| uri.split_azure_account(account);
    /// assert_eq!((with(Some("one")).account(), with(Some("one")).bucket()), (Some("one"), "two"));
    /// assert_eq!((with(Some("other")).account(), with(Some("other")).bucket()), (Some("other"), "one"));
    /// assert_eq!((with(None).account(), with(None).bucket()), (Some("one"), "two"));
    /// # Ok::<(), s3dlio_store::Error>(())
    /// ```
    pub fn split_azure_account(&self, configured: Option<&str>) -> Self {
        if self.scheme != Scheme::Azure || self.account.is_some() {
            return self.clone();
        }
        match configured {
            Some(account) if account != self.bucket => Self { account: Some(account.to_owned()), ..self.clone() },
            _ => {
                let (container, key) = self.key.split_once('/').unwrap_or((&self.key, ""));
                Self {
                    scheme: self.scheme,
                    account: (!self.bucket.is_empty()).then(|| self.bucket.clone()),
                    bucket: container.to_owned(),
                    key: key.to_owned(),
                }
            }
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(uri: &str) -> Result<Self> {
        Self::parse(uri)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(account) = &self.account {
            write!(f, "{account}/")?;
        }
        write!(f, "{}", self.bucket)?;
        if !self.key.is_empty() || !self.scheme.has_bucket() {
            write!(f, "/{}", self.key)?;
        }
        Ok(())
    }
}

const AZURE_HOST_SUFFIXES: [&str; 2] = [".blob.core.windows.net", ".dfs.core.windows.net"];

/// The account and the path of an address on Azure's hosts.
fn split_azure_host(rest: &str) -> Option<(&str, &str)> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    AZURE_HOST_SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix)).map(|account| (account, path))
}

fn invalid(uri: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, Operation::Parse, uri).with_message(message)
}

fn unknown_scheme(uri: &str, scheme: &str) -> Error {
    let nearest = Scheme::ALL.iter().min_by_key(|known| strsim::damerau_levenshtein(scheme, known.as_str()));
    let error = invalid(uri, format!("unknown scheme {scheme:?}"));
    match nearest {
        Some(near) if strsim::damerau_levenshtein(scheme, near.as_str()) <= 2 => {
            error.with_hint(format!("did you mean {near}://?"))
        }
        _ => error.with_hint("known are s3, az, gs, file, direct, memory, http and https"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_byte_for_byte() {
        for uri in ["s3://b/a//b", "s3://b/dir/", "s3://b/a/./../b", "gs://b/%20+ ~", "az://c/ü", "file:///x/%41 b"] {
            assert_eq!(Location::parse(uri).unwrap().to_string(), uri);
        }
    }

    #[test]
    fn malformed_uris_say_what_is_wrong() {
        let message = |uri: &str| Location::parse(uri).unwrap_err().to_string();
        assert_eq!(message("s4://b/k"), r#"parse s4://b/k: invalid input: unknown scheme "s4" (did you mean s3://?)"#);
        assert_eq!(message("s3:///k"), "parse s3:///k: invalid input: the bucket is missing (write s3://BUCKET/KEY)");
        assert_eq!(
            message("file://relative/x"),
            "parse file://relative/x: invalid input: the path is not absolute (write file:///absolute/path, or a plain path)"
        );
        assert!(message("").contains("an empty string is not a URI"));
    }

    #[test]
    fn no_password_reaches_a_message() {
        for uri in ["https://user:hunter2@host/x", "https://a.blob.core.windows.net/c/k?sig=hunter2"] {
            let error = Location::parse(uri).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn an_azure_web_address_is_decoded() {
        let location = Location::parse("https://acc.blob.core.windows.net/box/a%20b/c").unwrap();
        assert_eq!((location.account(), location.bucket(), location.key()), (Some("acc"), "box", "a b/c"));
    }

    #[test]
    fn a_plain_path_is_a_file() {
        let location = Location::parse("/data/set/").unwrap();
        assert_eq!((location.scheme(), location.key()), (Scheme::File, "data/set/"));
        assert_eq!(location.to_string(), "file:///data/set/");
    }
}

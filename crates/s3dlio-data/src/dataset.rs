//! [`Dataset`]: a fixed list of objects, made once from a prefix, a list of URIs or a manifest.

mod keys;
mod manifest;

use std::fmt;
use std::sync::Arc;

use futures::TryStreamExt;
use s3dlio_store::client::IntoLocation;
use s3dlio_store::{Client, Error, ErrorKind, Location, Operation, Result};

use keys::{KeyTable, KeyTableBuilder};

/// A fixed list of objects: sample `i` is object `i`.
///
/// A data set knows names and, where they are known beforehand, sizes. It holds no bytes of any object and needs about
/// 16 bytes per sample beside the part of the key that samples do not share, so that ten million samples fit into a few
/// hundred megabytes. Clones share everything.
///
/// A data set is never empty: a prefix, a list or a manifest that names no object is an error, for it is a mistake far
/// more often than a wish.
///
/// ```
/// use s3dlio_data::Dataset;
/// use s3dlio_store::{Client, Config};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let client = Client::new(Config::default());
/// client.put("memory:///set/b", "22").await?;
/// client.put("memory:///set/a", "1").await?;
/// let dataset = Dataset::from_prefix(&client, "memory:///set/").await?;
/// assert_eq!(dataset.len(), 2);
/// assert_eq!(dataset.location(0).to_string(), "memory:///set/a");
/// assert_eq!(dataset.size_hint(1), Some(2));
/// # Ok::<(), s3dlio_store::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Dataset {
    name: Arc<str>,
    keys: Arc<KeyTable>,
}

impl Dataset {
    /// Every object whose URI begins with `uri`, in the byte order of the keys, whatever order the store lists them in:
    /// so every process that lists the same objects has the same data set.
    ///
    /// As everywhere, the key is a string prefix: `s3://bucket/train` also matches `train-old/x`, and `s3://bucket/train/`
    /// does not. For files, a directory's path stands for what is in the directory. Directory markers (keys that end in
    /// `/`) are left out. The sizes that the listing says are kept, so that no read has to find them out.
    ///
    /// # Errors
    /// What the listing says, a key that cannot be listed included; [`ErrorKind::NotFound`] if no object matches;
    /// [`ErrorKind::Unsupported`] for `http(s)://`, which cannot list; [`ErrorKind::Cancelled`] by the client's token.
    pub async fn from_prefix(client: &Client, uri: impl IntoLocation) -> Result<Self> {
        let given = uri.into_location()?;
        let mut objects = client.list_objects(&given)?;
        let mut builder = KeyTableBuilder::default();
        while let Some((location, entry)) = objects.try_next().await? {
            // Every key of the listing begins with the prefix, so that only what follows is stored for each.
            let base = given.key();
            let shared = if entry.key.starts_with(base) { base } else { "" };
            builder.push(&location.with_key(shared), &entry.key[shared.len()..], Some(entry.size));
        }
        if builder.is_empty() {
            let hint = if given.scheme().is_file_system() {
                "check the path"
            } else {
                "check the prefix: directory markers are no samples"
            };
            return Err(Error::new(ErrorKind::NotFound, Operation::Load, given.to_string())
                .with_message("no object begins with this prefix")
                .with_hint(hint));
        }
        Self::new(given.to_string(), builder.finish_sorted())
    }

    /// These objects, in this order. A URI that is given twice is two samples; the URIs may be of several stores.
    ///
    /// ```
    /// use s3dlio_data::Dataset;
    ///
    /// let dataset = Dataset::from_uris(["s3://bucket/a", "gs://other/b"])?;
    /// assert_eq!(dataset.len(), 2);
    /// let error = Dataset::from_uris(["s3://bucket/dir/"]).unwrap_err();
    /// assert!(error.to_string().starts_with("load s3://bucket/dir/: invalid input: this names a directory"));
    /// # Ok::<(), s3dlio_store::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty list, a URI that does not parse, or one that names a bucket or a
    /// directory.
    pub fn from_uris<U: IntoLocation>(uris: impl IntoIterator<Item = U>) -> Result<Self> {
        let mut builder = KeyTableBuilder::default();
        for uri in uris {
            let location = uri.into_location()?;
            check_object(&location).map_err(|message| invalid(location.to_string(), message))?;
            builder.push(&location.with_key(""), location.key(), None);
        }
        let count = builder.len();
        let keys = builder.finish();
        if count == 0 {
            return Err(invalid("the list of URIs".to_owned(), "a data set cannot be empty"));
        }
        let name = if count == 1 { "1 URI".to_owned() } else { format!("{count} URIs") };
        Self::new(name, keys)
    }

    /// The objects that a manifest lists, in its order. The manifest is a file of any store, UTF-8, one object per line:
    ///
    /// ```text
    /// # a comment; blank lines are skipped as well
    /// s3://bucket/train/0001.jpg
    /// train/0002.jpg<TAB>48213
    /// ../other/0003.jpg
    /// ```
    ///
    /// An entry is a URI, an absolute path, or relative to the manifest's own directory; of a relative one, `./` and `../`
    /// at its beginning are resolved. All else is the key, byte for byte. After a tab, the object's size in bytes may
    /// follow, which saves nothing but a guess: a wrong one costs requests, never correctness.
    ///
    /// # Errors
    /// As [`Client::get`] for the manifest; [`ErrorKind::InvalidInput`] with `MANIFEST:LINE` for a line that is
    /// malformed, and for a manifest without entries.
    pub async fn from_manifest(client: &Client, uri: impl IntoLocation) -> Result<Self> {
        let location = uri.into_location()?;
        let text = client.get(&location).await?;
        Self::new(location.to_string(), manifest::parse(&location, &text)?)
    }

    fn new(name: String, keys: KeyTable) -> Result<Self> {
        if u32::try_from(keys.len()).is_err() {
            let message = format!("{} samples are more than a data set can have, which is {}", keys.len(), u32::MAX);
            return Err(invalid(name, &message));
        }
        Ok(Self { name: name.into(), keys: Arc::new(keys) })
    }

    /// What the data set was made from: a prefix, a manifest's URI, or the number of URIs. Messages name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many samples there are; at least one.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Always false: see the type's own documentation.
    pub fn is_empty(&self) -> bool {
        self.keys.len() == 0
    }

    /// Where a sample is.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn location(&self, index: usize) -> Location {
        self.keys.location(index)
    }

    /// A sample's size in bytes as the listing or the manifest said, where one did.
    ///
    /// # Panics
    /// If `index` is not below [`Dataset::len`].
    pub fn size_hint(&self, index: usize) -> Option<u64> {
        self.keys.size(index)
    }

    /// The sum of the sizes in bytes, if all are known.
    pub fn total_size(&self) -> Option<u64> {
        (0..self.len()).map(|index| self.size_hint(index)).sum()
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("name", &self.name).field("len", &self.len()).finish()
    }
}

/// Whether a location can be a sample, or why not.
fn check_object(location: &Location) -> Result<(), &'static str> {
    match location.key() {
        "" => Err("this names no object"),
        key if key.ends_with('/') => Err("this names a directory, not an object; take it as a prefix instead"),
        _ => Ok(()),
    }
}

fn invalid(uri: String, message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, Operation::Load, uri).with_message(message)
}

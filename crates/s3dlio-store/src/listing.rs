//! What a listing is made of, and the trait that every lister implements.
//!
//! object_store's own listings speak its `Path`, which cannot name every key that a store can hold (`dir/` loses its
//! slash, `a//b` fails the whole page). Listings of a [`Client`](crate::Client) therefore go through [`Lister`], which
//! speaks keys as strings: one implementation per protocol, and one over the trait for stores of other makers.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;

use crate::error::Result;

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Only keys that start with this string. Not a path: `a/b` matches `a/bc` as S3 does.
    pub prefix: String,
    /// Whether keys below the next `/` after the prefix are folded into one entry of [`ListPage::prefixes`].
    pub delimiter: bool,
    /// Only keys (and folded prefixes) that are greater than this key, in byte order.
    pub start_after: Option<String>,
    /// How many entries a page has at most; the protocol's own maximum (1,000 to 5,000) by default.
    pub page_size: Option<usize>,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// The key exactly as the store has it.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// When the object was last written.
    pub last_modified: DateTime<Utc>,
    /// The entity tag, where the store lists it.
    pub e_tag: Option<String>,
}

impl ObjectEntry {
    /// Whether this is a directory marker: a key that ends in `/`, or an empty key.
    pub fn is_marker(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Objects in the order of the store: byte order of the key, but for stores that say otherwise.
    pub objects: Vec<ObjectEntry>,
    /// Folded prefixes, each ending in `/`; empty without a delimiter.
    pub prefixes: Vec<String>,
}

/// Lists the keys of one store.
pub trait Lister: Debug + Send + Sync {
    /// The pages of a listing, each asked for when the one before it has been taken. Dropping the stream ends the
    /// listing; an error ends it too, unless it concerns a single name, after which the stream goes on.
    fn pages(&self, request: ListRequest) -> BoxStream<'static, Result<ListPage>>;
}

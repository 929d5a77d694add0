//! Listings of any [`ObjectStore`]: of `memory://`, and of stores of other makers.
//!
//! object_store lists by `Path`, whose prefixes are whole segments and whose keys have no trailing slash. What a
//! [`ListRequest`] asks for is derived from that: the directory that the prefix lies in is listed, and what does not
//! start with the prefix, or is not after the start key, is left out. Keys are given as the trait gives them.
//!
//! One level of a directory is asked for by `list_with_delimiter`. Where the prefix is not what a `Path` can say
//! (`a//`, `/a`), the nearest directory above it that a `Path` can name is listed and folded here.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::backend::path_of_key;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::listing::{ListPage, ListRequest, Lister, ObjectEntry};
use crate::uri::Location;

/// Entries of a page, if the request does not say: as S3 has it.
const PAGE_SIZE: usize = 1000;

/// Lists a store through its own trait.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use futures::TryStreamExt;
/// use s3dlio_store::backend::generic_listing::GenericListing;
/// use s3dlio_store::object_store::{ObjectStoreExt, memory::InMemory, path::Path};
/// use s3dlio_store::{ListRequest, Lister, Location};
///
/// let store = Arc::new(InMemory::new());
/// for key in ["a/b", "a/bc", "a/d"] {
///     store.put(&Path::from(key), "x".into()).await?;
/// }
/// let lister = GenericListing::new(store, Location::parse("memory:///")?);
/// let request = ListRequest { prefix: "a/b".into(), ..Default::default() };
/// let pages: Vec<_> = lister.pages(request).try_collect().await?;
/// assert_eq!(pages[0].objects.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct GenericListing {
    objects: Arc<dyn ObjectStore>,
    root: Location,
    has_markers: bool,
}

impl GenericListing {
    /// A lister of `objects`, whose errors name keys below `root`.
    pub fn new(objects: Arc<dyn ObjectStore>, root: Location) -> Self {
        Self { objects, root, has_markers: false }
    }

    /// The same for a store that can hold keys which end in `/`. The trait's listings leave out the one that equals the
    /// prefix, so it is asked for by name.
    pub fn with_markers(self) -> Self {
        Self { has_markers: true, ..self }
    }
}

impl Lister for GenericListing {
    fn pages(&self, request: ListRequest) -> BoxStream<'static, Result<ListPage>> {
        let walk = Arc::new(Walk { listing: self.clone(), scope: Scope::of(&request.prefix), request });
        if walk.request.delimiter {
            let level = async move { walk.level().await.map(|page| stream::iter(walk.cut(page).into_iter().map(Ok))) };
            return stream::once(level).try_flatten().boxed();
        }
        let marker = {
            let walk = walk.clone();
            stream::once(async move { walk.marker().await }).try_filter_map(async |found| Ok(found))
        };
        let (size, context) = (walk.page_size(), walk.clone());
        let metas = marker.chain(walk.list()).try_filter(move |meta| {
            let wanted = context.wants(meta.location.as_ref());
            async move { wanted }
        });
        metas
            .map_ok(entry)
            .try_ready_chunks(size)
            .map(|chunk| match chunk {
                Ok(objects) => vec![Ok(ListPage { objects, prefixes: Vec::new() })],
                Err(stream::TryReadyChunksError(objects, error)) if objects.is_empty() => vec![Err(error)],
                Err(stream::TryReadyChunksError(objects, error)) => {
                    vec![Ok(ListPage { objects, prefixes: Vec::new() }), Err(error)]
                }
            })
            .flat_map(stream::iter)
            .boxed()
    }
}

/// The directory to list for a prefix.
#[derive(Debug, PartialEq)]
struct Scope {
    directory: Path,
    /// Whether the prefix lies directly in the directory, so that its level is the prefix's level.
    exact: bool,
}

impl Scope {
    fn of(prefix: &str) -> Self {
        let Some((mut directory, _)) = prefix.rsplit_once('/') else {
            return Self { directory: Path::ROOT, exact: true };
        };
        let mut exact = true;
        loop {
            match Path::parse(directory) {
                Ok(path) if path.as_ref() == directory && !directory.is_empty() => {
                    return Self { directory: path, exact };
                }
                _ => exact = false,
            }
            match directory.rsplit_once('/') {
                Some((above, _)) => directory = above,
                None => return Self { directory: Path::ROOT, exact: false },
            }
        }
    }

    fn path(&self) -> Option<&Path> {
        (!self.directory.is_root()).then_some(&self.directory)
    }
}

/// One listing on its way.
#[derive(Debug)]
struct Walk {
    listing: GenericListing,
    request: ListRequest,
    scope: Scope,
}

impl Walk {
    /// Everything below the directory, from the start key on where a `Path` can name that.
    fn list(&self) -> BoxStream<'static, Result<ObjectMeta>> {
        let objects = &self.listing.objects;
        let start = self.request.start_after.as_deref().and_then(|start| {
            let path = Path::parse(start).ok()?;
            (path.as_ref() == start).then_some(path)
        });
        let metas = match &start {
            Some(start) => objects.list_with_offset(self.scope.path(), start),
            None => objects.list(self.scope.path()),
        };
        let uri = self.uri();
        metas.map_err(move |error| Error::from_store(error, Operation::List, uri.clone())).boxed()
    }

    /// One level: what the directory holds, folded at the first `/` after the prefix.
    async fn level(&self) -> Result<ListPage> {
        let mut objects = Vec::new();
        let mut prefixes = BTreeSet::new();
        let mut add = |key: &str, meta: Option<ObjectMeta>| {
            let Some(rest) = key.strip_prefix(self.request.prefix.as_str()) else { return };
            match (rest.find('/'), meta) {
                (Some(slash), _) => {
                    prefixes.insert(format!("{}{}", self.request.prefix, &rest[..=slash]));
                }
                (None, Some(meta)) => objects.push(meta),
                (None, None) => {}
            }
        };
        if let Some(marker) = self.marker().await? {
            add(self.request.prefix.as_str(), Some(marker));
        }
        if self.scope.exact {
            let listed = self.listing.objects.list_with_delimiter(self.scope.path()).await;
            let ListResult { common_prefixes, objects: metas, .. } =
                listed.map_err(|error| Error::from_store(error, Operation::List, self.uri()))?;
            common_prefixes.iter().for_each(|prefix| add(&format!("{prefix}/"), None));
            metas.into_iter().for_each(|meta| add(meta.location.clone().as_ref(), Some(meta)));
        } else {
            let metas: Vec<_> = self.list().try_collect().await?;
            metas.into_iter().for_each(|meta| add(meta.location.clone().as_ref(), Some(meta)));
        }
        Ok(ListPage {
            objects: objects.into_iter().filter(|meta| self.wants(meta.location.as_ref())).map(entry).collect(),
            prefixes: prefixes.into_iter().filter(|prefix| self.wants(prefix)).collect(),
        })
    }

    /// The object whose key is the prefix itself, if that ends in `/`.
    async fn marker(&self) -> Result<Option<ObjectMeta>> {
        let hidden = self.listing.has_markers && self.scope.exact && self.request.prefix.ends_with('/');
        let location = self.listing.root.with_key(self.request.prefix.as_str());
        let Some(path) = hidden.then(|| path_of_key(&location, Operation::List).ok()).flatten() else {
            return Ok(None);
        };
        match self.listing.objects.head(&path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if ErrorKind::of(&error) == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from_store(error, Operation::List, self.uri())),
        }
    }

    fn wants(&self, key: &str) -> bool {
        key.starts_with(&self.request.prefix) && self.request.start_after.as_deref().is_none_or(|start| key > start)
    }

    /// A level in pages of the size that was asked for; one that is empty has no page.
    fn cut(&self, level: ListPage) -> Vec<ListPage> {
        let size = self.page_size();
        let mut pages: Vec<ListPage> = level
            .objects
            .chunks(size)
            .map(|objects| ListPage { objects: objects.to_vec(), prefixes: Vec::new() })
            .collect();
        let mut prefixes = level.prefixes.into_iter();
        if let Some(last) = pages.last_mut() {
            last.prefixes.extend(prefixes.by_ref().take(size - last.objects.len()));
        }
        let rest: Vec<_> = prefixes.collect();
        pages.extend(rest.chunks(size).map(|prefixes| ListPage { objects: Vec::new(), prefixes: prefixes.to_vec() }));
        pages
    }

    fn page_size(&self) -> usize {
        self.request.page_size.unwrap_or(PAGE_SIZE).max(1)
    }

    fn uri(&self) -> String {
        self.listing.root.with_key(self.request.prefix.as_str()).to_string()
    }
}

fn entry(meta: ObjectMeta) -> ObjectEntry {
    ObjectEntry { key: meta.location.into(), size: meta.size, last_modified: meta.last_modified, e_tag: meta.e_tag }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory;

    const KEYS: [&str; 11] = ["a", "a//b", "a/b", "a/b/", "a/b/c", "a/b/d/e", "a/bc", "a/bc/x", "b/", "dir/", "dir/k"];

    async fn list(request: ListRequest) -> (Vec<String>, Vec<String>, usize) {
        let store = memory::open();
        for key in KEYS {
            let path = path_of_key(&Location::parse("memory:///").unwrap().with_key(key), Operation::Put).unwrap();
            store.objects.put(&path, key.into()).await.unwrap();
        }
        let pages: Vec<_> = store.lister.pages(request).try_collect().await.unwrap();
        let objects = pages.iter().flat_map(|page| &page.objects).map(|object| object.key.clone()).collect();
        let prefixes = pages.iter().flat_map(|page| page.prefixes.clone()).collect();
        (objects, prefixes, pages.len())
    }

    /// What S3 would answer, worked out from the keys.
    fn expected(request: &ListRequest) -> (Vec<String>, Vec<String>) {
        let mut objects = Vec::new();
        let mut prefixes = BTreeSet::new();
        for key in KEYS.into_iter().filter_map(|key| key.strip_prefix(request.prefix.as_str())) {
            match key.find('/').filter(|_| request.delimiter) {
                Some(slash) => _ = prefixes.insert(format!("{}{}", request.prefix, &key[..=slash])),
                None => objects.push(format!("{}{key}", request.prefix)),
            }
        }
        let after = |name: &String| request.start_after.as_ref().is_none_or(|start| name > start);
        objects.sort();
        (objects.into_iter().filter(after).collect(), prefixes.into_iter().filter(after).collect())
    }

    #[tokio::test]
    async fn every_prefix_delimiter_and_start_lists_what_s3_would() {
        for prefix in ["", "a", "a/", "a//", "a/b", "a/b/", "a/b/c", "a/b/d/", "b/", "d", "dir/", "dir/k/", "/", "x"] {
            for delimiter in [false, true] {
                for start in [None, Some("a/b"), Some("a/b/"), Some("a//"), Some("zzz"), Some("../x")] {
                    let request = ListRequest {
                        prefix: prefix.into(),
                        delimiter,
                        start_after: start.map(Into::into),
                        page_size: None,
                    };
                    let (mut objects, prefixes, _) = list(request.clone()).await;
                    objects.sort();
                    assert_eq!((objects, prefixes), expected(&request), "{request:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn pages_have_the_size_that_was_asked_for() {
        let request = ListRequest { page_size: Some(2), ..Default::default() };
        assert_eq!(list(request).await.2, KEYS.len().div_ceil(2));
        let request = ListRequest { prefix: "a/".into(), delimiter: true, page_size: Some(2), ..Default::default() };
        let (objects, prefixes, pages) = list(request).await;
        assert_eq!((objects.len(), prefixes.len(), pages), (2, 3, 3));
    }

    #[tokio::test]
    async fn an_empty_level_has_no_page() {
        for delimiter in [false, true] {
            let request = ListRequest { prefix: "nothing/".into(), delimiter, ..Default::default() };
            assert_eq!(list(request).await.2, 0);
        }
    }

    #[test]
    fn the_directory_of_a_prefix_is_one_that_a_path_can_name() {
        let of = |prefix| (Scope::of(prefix).directory.to_string(), Scope::of(prefix).exact);
        assert_eq!(of(""), (String::new(), true));
        assert_eq!(of("a"), (String::new(), true));
        assert_eq!(of("a/b/c"), ("a/b".into(), true));
        assert_eq!(of("a//"), ("a".into(), false));
        assert_eq!(of("a/../c"), ("a".into(), false));
        assert_eq!(of("/a"), (String::new(), false));
    }
}

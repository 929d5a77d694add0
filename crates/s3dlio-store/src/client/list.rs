//! Listings.

use futures::StreamExt;
use futures::stream::BoxStream;

use super::{Client, IntoLocation, Opened};
use crate::error::{Operation, Result};
use crate::listing::{ListPage, ListRequest, ObjectEntry};
use crate::uri::Location;

/// How to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Whether everything below the prefix is listed; otherwise one level, with deeper keys folded into prefixes.
    pub recursive: bool,
    /// Only keys greater than this one, in byte order.
    pub start_after: Option<String>,
    /// Entries per page at most; the store's own maximum by default.
    pub page_size: Option<usize>,
}

impl ListOptions {
    /// Everything below a prefix.
    pub fn recursive() -> Self {
        Self { recursive: true, ..Self::default() }
    }
}

/// The pages of a listing. Dropping it ends the listing.
pub type ListStream = BoxStream<'static, Result<ListPage>>;

/// A listing between two pages.
enum Listing {
    Begin(Client, Location, ListOptions),
    Pages { pages: ListStream, client: Client, opened: Opened },
    End,
}

impl Listing {
    async fn next(self) -> Option<(Result<ListPage>, Self)> {
        let (mut pages, client, opened) = match self {
            Self::Begin(client, location, options) => match client.open(&location).await {
                Err(error) => return Some((Err(error), Self::End)),
                Ok(opened) => {
                    let request = ListRequest {
                        prefix: prefix_of(&opened.location),
                        delimiter: !options.recursive,
                        start_after: options.start_after,
                        page_size: options.page_size,
                    };
                    (opened.store.lister.pages(request), client, opened)
                }
            },
            Self::Pages { pages, client, opened } => (pages, client, opened),
            Self::End => return None,
        };
        let limiter = opened.limiter.clone();
        let next = client.run(Operation::List, &opened.location, async move {
            let _permit = limiter.acquire().await;
            Ok((pages.next().await, pages))
        });
        match next.await {
            Err(error) => Some((Err(error), Self::End)),
            Ok((None, _)) => None,
            Ok((Some(page), pages)) => Some((page, Self::Pages { pages, client, opened })),
        }
    }
}

impl Client {
    /// Lists what begins with a URI, page by page, in constant memory.
    ///
    /// The URI's key is a string prefix: `s3://bucket/a/b` lists `a/b`, `a/bc` and `a/b/c`. For files, a directory's
    /// path lists what is in the directory, with or without a `/` at its end. Keys are listed as the store has them;
    /// one that cannot be listed (a file name that is not UTF-8) is an error item, after which the stream goes on.
    ///
    /// ```
    /// # use s3dlio_store::{Client, Config, ListOptions};
    /// use futures::TryStreamExt;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let client = Client::new(Config::default());
    /// client.put("memory:///set/a/1", "x").await?;
    /// client.put("memory:///set/b", "y").await?;
    /// let page = client.list("memory:///set/", ListOptions::default())?.try_next().await?.unwrap();
    /// assert_eq!(page.prefixes, ["set/a/"]);
    /// assert_eq!(page.objects[0].key, "set/b");
    /// # Ok::<(), s3dlio_store::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// If `uri` does not parse. All else comes from the stream: `Unsupported` for `http(s)://`, and what the store says.
    pub fn list(&self, uri: impl IntoLocation, options: ListOptions) -> Result<ListStream> {
        let location = uri.into_location()?;
        let begin = Listing::Begin(self.clone(), location, options);
        Ok(futures::stream::unfold(begin, Listing::next).fuse().boxed())
    }

    /// Every object below a prefix, one by one: [`Client::list`], recursive and flattened, with the location of each.
    /// Directory markers are left out.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub fn list_objects(&self, uri: impl IntoLocation) -> Result<BoxStream<'static, Result<(Location, ObjectEntry)>>> {
        let location = self.shared.stores.resolve(self.config(), &uri.into_location()?).1;
        let pages = self.list(&location, ListOptions::recursive())?;
        Ok(Box::pin(pages.flat_map(move |page| {
            let entries: Vec<Result<(Location, ObjectEntry)>> = match page {
                Ok(page) => page
                    .objects
                    .into_iter()
                    .filter(|entry| !entry.is_marker())
                    .map(|entry| Ok((location.with_key(entry.key.clone()), entry)))
                    .collect(),
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(entries)
        })))
    }
}

/// The string prefix that a location stands for.
fn prefix_of(location: &Location) -> String {
    let key = location.key();
    if location.scheme().is_file_system()
        && !key.is_empty()
        && !key.ends_with('/')
        && std::path::Path::new("/").join(key).is_dir()
    {
        return format!("{key}/");
    }
    key.to_owned()
}

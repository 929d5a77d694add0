//! Everything below a prefix: copied or deleted.

use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::many::run_bounded;
use super::{Client, CopyOptions, DeleteResult};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::uri::Location;

/// What became of one object of [`Client::copy_tree`].
#[derive(Debug)]
pub struct TreeResult {
    /// The object, or the prefix whose listing failed.
    pub from: Location,
    /// Where it was copied to.
    pub to: Option<Location>,
    /// Its size, as the listing said.
    pub bytes: u64,
    /// Whether it was copied.
    pub result: Result<()>,
}

impl Client {
    /// Copies every object below `from` to the same relative key below `to`, `max_concurrent_downloads` at once. One
    /// result comes per object, as they complete; one failure does not stop the others. Directory markers are left out.
    ///
    /// `from` is a directory: `s3://bucket/a` stands for `s3://bucket/a/`, and never for `s3://bucket/ab`. A target below
    /// `from` is refused: what is copied would be found again and copied again. Dropping the stream, or cancelling the
    /// client's token, ends every copy and leaves nothing partial.
    pub fn copy_tree(&self, from: Location, to: Location, options: CopyOptions) -> BoxStream<'static, TreeResult> {
        let client = self.clone();
        let base = directory(&self.shared.stores.resolve(self.config(), &from).1);
        let target = directory(&self.shared.stores.resolve(self.config(), &to).1);
        if is_below(&target, &base) {
            let error = Error::new(ErrorKind::InvalidInput, Operation::Copy, base.to_string())
                .with_message(format!("the target {target} lies inside the source"));
            let refused = TreeResult { from: base, to: Some(target), bytes: 0, result: Err(error) };
            return stream::once(std::future::ready(refused)).boxed();
        }
        let at_once = self.downloads_at_once(from.scheme()).min(self.downloads_at_once(to.scheme()));
        let listed = match self.list_objects(&base) {
            Ok(listed) => listed,
            Err(error) => stream::once(async { Err(error) }).boxed(),
        };
        let jobs = listed.map(move |listed| {
            let (client, to, base) = (client.clone(), to.clone(), base.clone());
            async move {
                let (from, bytes) = match listed {
                    Ok((from, entry)) => (from, entry.size),
                    Err(error) => return TreeResult { from: base, to: None, bytes: 0, result: Err(error) },
                };
                match relative(&from, &base) {
                    Ok(key) => {
                        let to = to.join(key);
                        let result = client.copy(&from, &to, options).await;
                        TreeResult { from, to: Some(to), bytes, result }
                    }
                    Err(error) => TreeResult { from, to: None, bytes, result: Err(error) },
                }
            }
        });
        run_bounded(jobs, at_once).boxed()
    }

    /// Deletes every object below `prefix`, which is a directory as for [`Client::copy_tree`]; directory markers go too.
    /// For files, the directories that hold the files stay. One result comes per object.
    pub fn delete_tree(&self, prefix: Location) -> BoxStream<'static, DeleteResult> {
        let base = directory(&self.shared.stores.resolve(self.config(), &prefix).1);
        let pages = match self.list(&base, super::ListOptions::recursive()) {
            Ok(pages) => pages,
            Err(error) => stream::once(async { Err(error) }).boxed(),
        };
        let client = self.clone();
        // A listing's error is a result of its own; what a page has is deleted by batches.
        pages
            .then(move |page| {
                let (client, base) = (client.clone(), base.clone());
                async move {
                    match page {
                        Ok(page) => {
                            let locations: Vec<Location> =
                                page.objects.into_iter().map(|entry| base.with_key(entry.key)).collect();
                            client.delete_many(stream::iter(locations))
                        }
                        Err(error) => {
                            stream::once(async { DeleteResult { location: base, result: Err(error) } }).boxed()
                        }
                    }
                }
            })
            .flatten()
            .boxed()
    }
}

/// The prefix that stands for what is below a directory.
fn directory(location: &Location) -> Location {
    match location.key() {
        key if key.is_empty() || key.ends_with('/') => location.clone(),
        key => location.with_key(format!("{key}/")),
    }
}

/// Whether one directory lies inside another.
fn is_below(inner: &Location, outer: &Location) -> bool {
    let is_same_store = inner.with_key("") == outer.with_key("")
        || (inner.scheme().is_file_system() && outer.scheme().is_file_system());
    is_same_store && inner.key() != outer.key() && inner.key().starts_with(outer.key())
}

/// The key below `base`. One that would lead elsewhere is refused by name.
fn relative<'a>(from: &'a Location, base: &Location) -> Result<&'a str> {
    let key = from.key();
    let below = key.strip_prefix(base.key()).unwrap_or(key);
    if below.split('/').any(|segment| segment == "..") {
        return Err(Error::new(ErrorKind::Unsupported, Operation::Copy, from.to_string())
            .with_message("a key with a \"..\" segment is not copied below another prefix"));
    }
    Ok(below)
}

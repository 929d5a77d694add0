//! `ls`: objects and prefixes, or buckets.

use futures::StreamExt;
use s3dlio::{BucketEntry, Error, ErrorKind, ListOptions, ListPage, Location, ObjectEntry, Operation};
use serde::Serialize;

use super::target;
use crate::arguments::Ls;
use crate::failure::Exit;
use crate::output::{Output, human_size, printable, time};
use crate::session::Session;

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Object { uri: String, key: &'a str, size: u64, last_modified: String, e_tag: &'a Option<String> },
    Prefix { uri: String, key: &'a str },
    Bucket { uri: String, name: &'a str, created: Option<String> },
}

/// A listing that is being printed.
struct Listing<'a> {
    arguments: &'a Ls,
    session: &'a Session,
    output: Output,
    /// What is listed, as its backend understands it.
    location: Location,
    /// What every listed key begins with and no printed name does.
    base: String,
    listed: u64,
    printed: u64,
}

pub(super) async fn run(arguments: &Ls, session: &Session) -> anyhow::Result<Exit> {
    let mut output = session.output();
    if names_no_bucket(&arguments.uri, session).await {
        let buckets = session.client.list_buckets(&arguments.uri).await?;
        print_buckets(arguments, &buckets, &mut output)?;
        output.finish().await?;
        return Ok(Exit::Success);
    }
    let location = session.client.open(&arguments.uri).await?.location;
    let base = base_of(&location);
    let mut listing = Listing { arguments, session, output, location, base, listed: 0, printed: 0 };
    listing.print().await?;
    if arguments.count {
        match arguments.json {
            true => listing.output.json(&serde_json::json!({ "count": listing.printed }))?,
            false => listing.output.line(listing.printed),
        }
    }
    listing.output.finish().await?;
    Ok(session.outcome())
}

impl Listing<'_> {
    /// Prints each page as it comes.
    async fn print(&mut self) -> anyhow::Result<()> {
        let options = ListOptions { recursive: self.arguments.recursive, ..ListOptions::default() };
        let mut pages = self.session.client.list(&self.location, options)?;
        self.session.does("listed", "name");
        let _progress = self.arguments.count.then(|| self.session.bar(None));
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => self.print_page(&page)?,
                // An error about one name is followed by more names; any other ends the stream.
                Err(error) if error.kind() == ErrorKind::Cancelled || self.listed == 0 => return Err(error.into()),
                Err(error) => self.session.failed(&error),
            }
            self.output.flush().await?;
        }
        if self.listed == 0 && self.is_missing() {
            return Err(nothing_below(&self.location).into());
        }
        Ok(())
    }

    /// Whether what has nothing in it is not there at all. A store of keys has no empty prefixes: it may be misspelt.
    fn is_missing(&self) -> bool {
        match target::local_path(&self.location) {
            Some(path) => !path.is_dir(),
            None => !self.location.key().is_empty(),
        }
    }

    /// Prints prefixes and objects in one order, that of their keys.
    fn print_page(&mut self, page: &ListPage) -> anyhow::Result<()> {
        let mut prefixes = page.prefixes.iter().peekable();
        for object in &page.objects {
            while let Some(prefix) = prefixes.next_if(|prefix| **prefix < object.key) {
                self.print_prefix(prefix)?;
            }
            self.print_object(object)?;
        }
        prefixes.try_for_each(|prefix| self.print_prefix(prefix))
    }

    fn print_prefix(&mut self, key: &str) -> anyhow::Result<()> {
        if !self.takes(key) {
            return Ok(());
        }
        let name = self.name(key);
        match self.arguments {
            Ls { json: true, .. } => self.output.json(&Line::Prefix { uri: self.uri(key), key })?,
            Ls { long: false, human_readable: false, .. } => self.output.line(name),
            _ => self.output.line(format_args!("{:>12}  {:>20}  {name}", "-", "-")),
        }
        Ok(())
    }

    fn print_object(&mut self, object: &ObjectEntry) -> anyhow::Result<()> {
        let key = &object.key;
        if !self.takes(key) {
            return Ok(());
        }
        let modified = time(object.last_modified);
        let name = self.name(key);
        let size = match self.arguments {
            Ls { json: true, .. } => {
                let (uri, e_tag) = (self.uri(key), &object.e_tag);
                return self.output.json(&Line::Object { uri, key, size: object.size, last_modified: modified, e_tag });
            }
            Ls { human_readable: true, .. } => human_size(object.size),
            Ls { long: true, .. } => object.size.to_string(),
            _ => {
                self.output.line(name);
                return Ok(());
            }
        };
        self.output.line(format_args!("{size:>12}  {modified:>20}  {name}"));
        Ok(())
    }

    /// Counts an entry, and says whether it is to be printed.
    fn takes(&mut self, key: &str) -> bool {
        self.listed += 1;
        let taken = self.arguments.filter.accepts(key.strip_prefix(&self.base).unwrap_or(key));
        if taken {
            self.printed += 1;
            self.session.done(0);
        }
        taken && !self.arguments.count
    }

    /// The name to print. A directory marker of what is listed has none below it: it is shown as `./`.
    fn name(&self, key: &str) -> String {
        match key.strip_prefix(&self.base).unwrap_or(key) {
            _ if self.arguments.uris => printable(&self.uri(key)),
            "" => "./".into(),
            name => printable(name),
        }
    }

    fn uri(&self, key: &str) -> String {
        self.location.with_key(key).to_string()
    }
}

/// Whether a URI names an account and no bucket: `s3://`, or `az://ACCOUNT`.
async fn names_no_bucket(uri: &Location, session: &Session) -> bool {
    if !uri.scheme().has_bucket() || !uri.key().is_empty() {
        return false;
    }
    // Only the backend can tell an Azure account from a container.
    uri.bucket().is_empty()
        || session.client.open(uri).await.is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
}

fn print_buckets(arguments: &Ls, buckets: &[BucketEntry], output: &mut Output) -> anyhow::Result<()> {
    let taken = || buckets.iter().filter(|bucket| arguments.filter.accepts(&bucket.name));
    if arguments.count {
        match arguments.json {
            true => output.json(&serde_json::json!({ "count": taken().count() }))?,
            false => output.line(taken().count()),
        }
        return Ok(());
    }
    let root = arguments.uri.to_string();
    let root = root.trim_end_matches('/');
    let separator = if arguments.uri.bucket().is_empty() { "//" } else { "/" };
    for bucket in taken() {
        let BucketEntry { name, created } = bucket;
        let uri = || format!("{root}{separator}{name}");
        let created = created.map(time);
        let shown = if arguments.uris { uri() } else { format!("{name}/") };
        match arguments {
            Ls { json: true, .. } => output.json(&Line::Bucket { uri: uri(), name, created })?,
            Ls { long: false, human_readable: false, .. } => output.line(shown),
            _ => output.line(format_args!("{:>12}  {:>20}  {shown}", "-", created.as_deref().unwrap_or("-"))),
        }
    }
    Ok(())
}

/// What all keys of a listing begin with, up to the last `/`: what an `ls` of a directory leaves out.
fn base_of(location: &Location) -> String {
    let key = location.key();
    if !key.is_empty() && target::is_directory(location) && !key.ends_with('/') {
        return format!("{key}/");
    }
    key[..key.rfind('/').map_or(0, |slash| slash + 1)].to_owned()
}

fn nothing_below(location: &Location) -> Error {
    Error::new(ErrorKind::NotFound, Operation::List, location.to_string()).with_message("nothing begins with this")
}

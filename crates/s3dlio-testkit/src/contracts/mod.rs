//! One conformance suite for every `ObjectStore`.
//!
//! [`run_all`] runs every contract against a store. Where a server or a backend is known to differ, the caller declares
//! it as a [`Deviation`], which weakens exactly the assertion that it names; everything else is asserted as everywhere.
//! A declared deviation that the store does not show is not an error, so one list can serve several versions.
//!
//! Each contract works below a prefix of its own and leaves nothing there, so the store may hold other objects and
//! contracts may run side by side. Keys that `object_store::path::Path` cannot name (`a//b`, `dir/`, `.` segments) are
//! out of its reach.
//!
//! A failed contract panics with its name; [`run_all`] runs the others first and then names all that failed.

pub mod conditions;
pub mod copying;
pub mod keys;
pub mod listing;
pub mod multipart;
pub mod objects;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, Result};

/// A known way in which a store differs from the contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deviation {
    /// Listings are not in the byte order of the keys: their order is not asserted (their content is).
    ListingNotInByteOrder,
    /// The offset of a listing is ignored: keys up to it are listed as well (those after it still must be).
    ListingOffsetIgnored,
    /// If-Match and If-None-Match on get are ignored: an answer with the object is accepted as well.
    GetConditionsIgnored,
    /// Suffix ranges are refused: `NotSupported` or a server error is accepted as well.
    NoSuffixRange,
    /// A put on condition of an ETag or version is refused with `NotImplemented` or `NotSupported`.
    NoConditionalUpdate,
    /// A copy or rename that must not overwrite is refused with `NotImplemented` or `NotSupported`.
    NoConditionalCopy,
    /// Attributes (content type, user metadata) are refused with `NotImplemented` or `NotSupported`.
    NoAttributes,
    /// An object cannot exist beside others below it (`q` beside `q/b`): not asked for.
    NoObjectAboveObjects,
    /// Keys beyond 150 bytes may be refused, with any error.
    LongKeysRefused,
    /// Reading a prefix that is no object (`dir` where only `dir/a` exists) may be another error than `NotFound`.
    ReadOfPrefixIsAnotherError,
    /// A suffix range longer than the object may be refused.
    LongSuffixRefused,
    /// Of several that create the same object at once, more than one may succeed.
    CreateIsNotAtomic,
}

/// A store under test, the deviations declared for it, and a place for the contract's objects.
#[derive(Debug, Clone)]
pub struct Context {
    store: Arc<dyn ObjectStore>,
    deviations: Vec<Deviation>,
    root: Path,
}

impl Context {
    /// Tests `store`, below `root`.
    pub fn new(store: Arc<dyn ObjectStore>, deviations: &[Deviation], root: &str) -> Self {
        Self { store, deviations: deviations.to_vec(), root: Path::from(root) }
    }

    /// The store under test.
    pub fn store(&self) -> &dyn ObjectStore {
        &self.store
    }

    /// Whether a deviation was declared.
    pub fn has(&self, deviation: Deviation) -> bool {
        self.deviations.contains(&deviation)
    }

    /// A key below this contract's root. The key is taken as it is, without any encoding.
    fn path(&self, key: &str) -> Path {
        Path::parse(format!("{}/{key}", self.root)).unwrap_or_else(|error| panic!("{key:?} is no path: {error}"))
    }

    async fn put(&self, key: &str, body: impl Into<Bytes>) -> Path {
        let path = self.path(key);
        let put = self.store.put(&path, body.into().into()).await;
        put.unwrap_or_else(|error| panic!("put {path}: {error}"));
        path
    }

    async fn get(&self, path: &Path) -> Bytes {
        let got = async { self.store.get(path).await?.bytes().await }.await;
        got.unwrap_or_else(|error| panic!("get {path}: {error}"))
    }

    /// Every key below a prefix, without the root, as it was listed.
    async fn list(&self, prefix: &Path) -> Vec<String> {
        let listed: Result<Vec<_>> = self.store.list(Some(prefix)).map_ok(|meta| meta.location).try_collect().await;
        let listed = listed.unwrap_or_else(|error| panic!("list {prefix}: {error}"));
        listed.iter().map(|path| self.relative(path)).collect()
    }

    fn relative(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.root.as_ref()).and_then(|rest| rest.strip_prefix('/'));
        below.unwrap_or_else(|| panic!("{path} is not below {}", self.root)).to_owned()
    }

    /// Deletes what the contract has left.
    async fn clear(&self) {
        let listed = self.store.list(Some(&self.root)).map_ok(|meta| meta.location).boxed();
        let results: Vec<_> = self.store.delete_stream(listed).collect().await;
        for result in results {
            // Some stores take a directory away with its last object, so that a listing under way still names it.
            assert!(
                result.is_ok() || matches!(result, Err(object_store::Error::NotFound { .. })),
                "cannot clean up: {result:?}"
            );
        }
    }
}

/// Panics unless a result is this kind of error: `expect_error!(result, NotFound, "what")`.
macro_rules! expect_error {
    ($result:expr, $($kind:ident)|+, $($what:tt)+) => {
        match $result {
            $(Err(object_store::Error::$kind { .. }))|+ => {}
            Ok(_) => panic!("{}: expected {}, but it succeeded", format!($($what)+), stringify!($($kind)|+)),
            Err(error) => panic!("{}: expected {}, got {error:?}", format!($($what)+), stringify!($($kind)|+)),
        }
    };
}
use expect_error;

/// A contract: its name, and how to run it.
#[derive(Clone, Copy)]
pub struct Contract {
    /// The path of the function below this module, such as `objects::round_trip`.
    pub name: &'static str,
    run: for<'a> fn(&'a Context) -> BoxFuture<'a, ()>,
}

impl std::fmt::Debug for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Contract {
    /// Runs the contract below a root of its own and clears that; the error is the panic's message.
    async fn check(&self, store: &Arc<dyn ObjectStore>, deviations: &[Deviation]) -> Result<(), String> {
        let root = format!("contract-{}", self.name.replace("::", "-").replace('_', "-"));
        let context = Context::new(store.clone(), deviations, &root);
        let run = async {
            context.clear().await;
            (self.run)(&context).await;
            context.clear().await;
        };
        AssertUnwindSafe(run).catch_unwind().await.map_err(|panic| message(&*panic))
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panic".to_owned())
}

macro_rules! contracts {
    ($($module:ident::$function:ident),+ $(,)?) => {
        /// Every contract, in the order in which [`run_all`] runs them.
        pub const ALL: &[Contract] = &[$(Contract {
            name: concat!(stringify!($module), "::", stringify!($function)),
            run: |context| $module::$function(context).boxed(),
        }),+];
    };
}

contracts![
    objects::round_trip,
    objects::overwrite_replaces_all,
    objects::stat_agrees_with_get,
    objects::missing_is_not_found,
    objects::bounded_ranges,
    objects::offset_ranges,
    objects::suffix_ranges,
    objects::ranges_outside_are_errors,
    objects::empty_object,
    objects::several_ranges,
    conditions::create_does_not_overwrite,
    conditions::update_needs_the_current_version,
    conditions::one_of_many_creators_wins,
    conditions::get_if_match,
    conditions::get_if_none_match,
    conditions::attributes_on_put,
    conditions::attributes_on_multipart,
    multipart::parts_in_order,
    multipart::parts_finishing_out_of_order,
    multipart::nothing_is_visible_before_completion,
    multipart::abort_leaves_nothing,
    multipart::upload_without_parts_is_an_empty_object,
    multipart::completion_replaces_an_object,
    listing::prefix_is_whole_segments,
    listing::order_and_sizes,
    listing::offset_is_exclusive,
    listing::delimiter,
    listing::object_beside_objects_below_it,
    listing::nothing_below_a_prefix,
    listing::whole_store,
    listing::more_than_a_page,
    copying::copy,
    copying::rename,
    copying::copy_without_overwriting,
    copying::rename_without_overwriting,
    copying::missing_source,
    copying::delete_is_final,
    copying::delete_many,
    keys::odd_characters,
    keys::encoded_looking_keys_are_not_decoded,
    keys::keys_of_1024_bytes,
    keys::deep_keys,
];

/// Runs every contract against a store.
///
/// # Panics
///
/// When a contract does not hold, with the names of all that do not.
pub async fn run_all(store: Arc<dyn ObjectStore>, deviations: &[Deviation]) {
    run_some(store, deviations, |_| true).await;
}

/// Runs the contracts whose name is chosen, for a store that can do only a part.
///
/// # Panics
///
/// When a contract does not hold, with the names of all that do not; when none is chosen.
pub async fn run_some(store: Arc<dyn ObjectStore>, deviations: &[Deviation], choose: impl Fn(&str) -> bool) {
    let chosen: Vec<_> = ALL.iter().filter(|contract| choose(contract.name)).collect();
    assert!(!chosen.is_empty(), "no contract was chosen");
    let mut failures = Vec::new();
    for contract in &chosen {
        if let Err(message) = contract.check(&store, deviations).await {
            failures.push(format!("contract {}: {message}", contract.name));
        }
    }
    assert!(
        failures.is_empty(),
        "{store} breaks {} of {} contracts:\n{}",
        failures.len(),
        chosen.len(),
        failures.join("\n")
    );
}

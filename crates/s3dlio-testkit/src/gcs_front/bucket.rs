//! Buckets, and the objects in them with their generations.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use md5::{Digest, Md5};

use super::State;
use super::multipart::Upload;
use super::reply::{self, Fail, Reply};

/// The headers of an upload that come back with the object.
const KEPT_HEADERS: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "x-goog-storage-class",
];
const METADATA_PREFIX: &str = "x-goog-meta-";

/// One generation of an object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) body: Bytes,
    pub(super) etag: String,
    /// Values of `x-goog-hash`; a multipart object has no MD5.
    pub(super) hashes: Vec<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) generation: u64,
    pub(super) last_modified: DateTime<Utc>,
}

impl Object {
    /// An object uploaded in one piece.
    pub(super) fn new(headers: &HeaderMap, body: Bytes) -> Self {
        let md5 = Md5::digest(&body);
        let mut object = Self::composed(kept(headers), body, hex(&md5));
        object.hashes.push(format!("md5={}", BASE64_STANDARD.encode(md5)));
        object
    }

    /// An object put together from parts.
    pub(super) fn composed(headers: Vec<(String, String)>, body: Bytes, etag: String) -> Self {
        let crc32c = BASE64_STANDARD.encode(crc32c::crc32c(&body).to_be_bytes());
        Self {
            etag: format!("\"{etag}\""),
            hashes: vec![format!("crc32c={crc32c}")],
            headers,
            body,
            // Set when it is inserted.
            generation: 0,
            last_modified: Utc::now(),
        }
    }
}

/// The headers of an upload that belong to the object.
pub(super) fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = headers
        .iter()
        .filter(|(name, _)| KEPT_HEADERS.contains(&name.as_str()) || name.as_str().starts_with(METADATA_PREFIX));
    kept.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All generations of one key that can be read.
#[derive(Debug, Default)]
struct Generations {
    live: Option<Object>,
    noncurrent: Vec<Object>,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Ordered by the bytes of their UTF-8, as Google lists them.
    objects: BTreeMap<String, Generations>,
    pub(super) uploads: BTreeMap<String, Upload>,
}

impl Bucket {
    pub(super) fn live(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)?.live.as_ref()
    }

    pub(super) fn generation(&self, key: &str, generation: u64) -> Option<&Object> {
        let generations = self.objects.get(key)?;
        generations.live.iter().chain(&generations.noncurrent).find(|object| object.generation == generation)
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.live_from("").map(|(key, _)| key.to_owned()).collect()
    }

    /// The live objects whose key is not less than `first`.
    pub(super) fn live_from(&self, first: &str) -> impl Iterator<Item = (&str, &Object)> {
        let objects = self.objects.range::<str, _>((std::ops::Bound::Included(first), std::ops::Bound::Unbounded));
        objects.filter_map(|(key, generations)| Some((key.as_str(), generations.live.as_ref()?)))
    }

    /// Takes the live generation away; it stays readable by its number if versions are kept.
    fn retire(&mut self, key: &str, keep: bool) {
        let Some(generations) = self.objects.get_mut(key) else { return };
        let retired = generations.live.take();
        if keep {
            generations.noncurrent.extend(retired);
        } else {
            self.objects.remove(key);
        }
    }
}

impl State {
    pub(super) fn bucket(&self, name: &str) -> Result<&Bucket, Fail> {
        self.buckets.get(name).ok_or_else(Fail::no_such_bucket)
    }

    pub(super) fn bucket_mut(&mut self, name: &str) -> Result<&mut Bucket, Fail> {
        self.buckets.get_mut(name).ok_or_else(Fail::no_such_bucket)
    }

    /// Makes an object the live one of its key and returns it with its generation.
    pub(super) fn insert(&mut self, bucket: &str, key: &str, mut object: Object) -> Result<Object, Fail> {
        // Google's generations are microseconds; what counts is that they grow.
        let now = Utc::now().timestamp_micros().try_into().unwrap_or(0);
        self.last_generation = (self.last_generation + 1).max(now);
        object.generation = self.last_generation;
        let versioning = self.versioning;
        let bucket = self.bucket_mut(bucket)?;
        bucket.retire(key, versioning);
        bucket.objects.entry(key.to_owned()).or_default().live = Some(object.clone());
        Ok(object)
    }

    pub(super) fn remove(&mut self, bucket: &str, key: &str) -> Result<(), Fail> {
        let versioning = self.versioning;
        let bucket = self.bucket_mut(bucket)?;
        bucket.live(key).ok_or_else(Fail::no_such_key)?;
        bucket.retire(key, versioning);
        Ok(())
    }
}

pub(super) fn create(state: &mut State, name: &str) -> Result<Reply, Fail> {
    if state.buckets.contains_key(name) {
        let message = "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(Fail::new(StatusCode::CONFLICT, "BucketAlreadyOwnedByYou", message));
    }
    state.buckets.insert(name.to_owned(), Bucket::default());
    Ok(reply::empty(StatusCode::OK))
}

pub(super) fn delete(state: &mut State, name: &str) -> Result<Reply, Fail> {
    if state.bucket(name)?.live_from("").next().is_some() {
        let message = "The bucket you tried to delete is not empty.";
        return Err(Fail::new(StatusCode::CONFLICT, "BucketNotEmpty", message));
    }
    state.buckets.remove(name);
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

//! Objects: put, get, head, copy, delete.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::Full;
use md5::{Digest, Md5};

use super::bucket::{Object, kept};
use super::reply::{self, Fail, Reply};
use super::{Call, State, decode};
use crate::http_semantics::{Asked, asked_range, failed_condition, http_date};

/// <https://cloud.google.com/storage/docs/xml-api/put-object-upload>
pub(super) fn put(state: &mut State, call: Call<'_>) -> Result<Reply, Fail> {
    check_generation(call.headers, state.bucket(&call.bucket)?.live(&call.key))?;
    check_digests(call.headers, &call.body)?;
    let object = Object::new(call.headers, call.body);
    let object = state.insert(&call.bucket, &call.key, object)?;
    let mut reply = reply::empty(StatusCode::OK);
    describe(&mut reply, &object);
    Ok(reply)
}

/// <https://cloud.google.com/storage/docs/xml-api/get-object-download>
pub(super) fn get(state: &State, call: &Call<'_>) -> Result<Reply, Fail> {
    let bucket = state.bucket(&call.bucket)?;
    let object = match call.query.get("generation") {
        Some(generation) => {
            let generation = generation.parse().map_err(|_| Fail::invalid("Invalid generation."))?;
            bucket.generation(&call.key, generation)
        }
        None => bucket.live(&call.key),
    };
    let object = object.ok_or_else(Fail::no_such_key)?;
    check_generation(call.headers, Some(object))?;
    match failed_condition(call.headers, &object.etag, object.last_modified) {
        Some(StatusCode::NOT_MODIFIED) => return Err(Fail::new(StatusCode::NOT_MODIFIED, "", "")),
        Some(_) => return Err(Fail::precondition()),
        None => {}
    }
    let size = object.body.len() as u64;
    let (status, body, content_range) = match asked_range(call.headers, size) {
        Asked::Unsatisfiable => return Err(Fail::out_of_range(size)),
        Asked::Whole => (StatusCode::OK, object.body.clone(), None),
        Asked::Part(range) => {
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            let body = object.body.slice(range.start as usize..range.end as usize);
            (StatusCode::PARTIAL_CONTENT, body, Some(content_range))
        }
    };
    let mut reply = reply::empty(status);
    describe(&mut reply, object);
    for (name, value) in &object.headers {
        reply::set(&mut reply, name, value);
    }
    reply::set(&mut reply, "last-modified", &http_date(object.last_modified));
    reply::set(&mut reply, "accept-ranges", "bytes");
    reply::set(&mut reply, "content-length", &body.len().to_string());
    if let Some(content_range) = content_range {
        reply::set(&mut reply, "content-range", &content_range);
    }
    if *call.method == Method::GET {
        *reply.body_mut() = Full::from(body);
    }
    Ok(reply)
}

/// <https://cloud.google.com/storage/docs/xml-api/put-object-copy>
pub(super) fn copy(state: &mut State, call: &Call<'_>) -> Result<Reply, Fail> {
    let source = call.header("x-goog-copy-source").unwrap_or_default();
    let (bucket, key) = source
        .trim_start_matches('/')
        .split_once('/')
        .ok_or_else(|| Fail::invalid("The copy source must be a bucket and an object."))?;
    let original = state.bucket(&decode(bucket)?)?.live(&decode(key)?).ok_or_else(Fail::no_such_key)?;
    if let Some(wanted) = call.header("x-goog-copy-source-if-generation-match")
        && wanted.parse() != Ok(original.generation)
    {
        return Err(Fail::precondition());
    }
    let mut object = original.clone();
    object.last_modified = chrono::Utc::now();
    if call.header("x-goog-metadata-directive").is_some_and(|directive| directive.eq_ignore_ascii_case("REPLACE")) {
        object.headers = kept(call.headers);
    }
    check_generation(call.headers, state.bucket(&call.bucket)?.live(&call.key))?;
    let object = state.insert(&call.bucket, &call.key, object)?;
    let mut reply = reply::xml(&format!(
        "<CopyObjectResult><LastModified>{}</LastModified><ETag>{}</ETag></CopyObjectResult>",
        object.last_modified.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        object.etag
    ));
    describe(&mut reply, &object);
    Ok(reply)
}

/// <https://cloud.google.com/storage/docs/xml-api/delete-object>
pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Result<Reply, Fail> {
    let live = state.bucket(&call.bucket)?.live(&call.key);
    check_generation(call.headers, Some(live.ok_or_else(Fail::no_such_key)?))?;
    state.remove(&call.bucket, &call.key)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// The headers by which every answer tells which object it is about.
pub(super) fn describe(reply: &mut Reply, object: &Object) {
    reply::set(reply, "etag", &object.etag);
    reply::set(reply, "x-goog-generation", &object.generation.to_string());
    reply::set(reply, "x-goog-metageneration", "1");
    reply::set(reply, "x-goog-stored-content-length", &object.body.len().to_string());
    reply::set(reply, "x-goog-stored-content-encoding", stored_encoding(object));
    for hash in &object.hashes {
        reply::set(reply, "x-goog-hash", hash);
    }
}

fn stored_encoding(object: &Object) -> &str {
    let encoding = object.headers.iter().find(|(name, _)| name == "content-encoding");
    encoding.map_or("identity", |(_, value)| value)
}

/// `x-goog-if-generation-match` (0 means that there must be no object) and its opposite.
fn check_generation(headers: &HeaderMap, live: Option<&Object>) -> Result<(), Fail> {
    let generation = live.map_or(0, |object| object.generation);
    let header = |name: &str| -> Result<Option<u64>, Fail> {
        let value = headers.get(name).map(|value| value.to_str().ok().and_then(|value| value.parse().ok()));
        value.map(|value| value.ok_or_else(|| Fail::invalid("Invalid generation."))).transpose()
    };
    if header("x-goog-if-generation-match")?.is_some_and(|wanted| wanted != generation)
        || header("x-goog-if-generation-not-match")?.is_some_and(|unwanted| unwanted == generation)
    {
        return Err(Fail::precondition());
    }
    Ok(())
}

/// Content-MD5 and `x-goog-hash`, where the client sent them.
fn check_digests(headers: &HeaderMap, body: &Bytes) -> Result<(), Fail> {
    let md5 = BASE64_STANDARD.encode(Md5::digest(body));
    let crc32c = BASE64_STANDARD.encode(crc32c::crc32c(body).to_be_bytes());
    let content_md5 = headers.get("content-md5").and_then(|value| value.to_str().ok());
    let hashes = headers.get_all("x-goog-hash").into_iter().filter_map(|value| value.to_str().ok());
    let holds = |hash: &str| match hash.trim().split_once('=') {
        Some(("md5", value)) => value == md5,
        Some(("crc32c", value)) => value == crc32c,
        _ => true,
    };
    if content_md5.is_some_and(|value| value != md5) || !hashes.flat_map(|value| value.split(',')).all(holds) {
        let message = "The digest you specified did not match what we received.";
        return Err(Fail::new(StatusCode::BAD_REQUEST, "BadDigest", message));
    }
    Ok(())
}

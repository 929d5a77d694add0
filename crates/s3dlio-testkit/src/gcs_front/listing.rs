//! Listings: <https://cloud.google.com/storage/docs/xml-api/get-bucket-list>, list-type 2.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use chrono::SecondsFormat;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::escape::escape;

use super::bucket::Object;
use super::reply::{self, Fail, Reply};
use super::{Call, State};

/// The most entries of one page.
const PAGE: usize = 1000;

pub(super) fn buckets(state: &State) -> Result<Reply, Fail> {
    let buckets = state.buckets.keys().map(|name| format!("<Bucket><Name>{}</Name></Bucket>", escape(name)));
    let buckets: String = buckets.collect();
    Ok(reply::xml(&format!("<ListAllMyBucketsResult><Buckets>{buckets}</Buckets></ListAllMyBucketsResult>")))
}

pub(super) fn objects(state: &State, call: &Call<'_>) -> Result<Reply, Fail> {
    let parameter = |name: &str| call.query.get(name).map(String::as_str).unwrap_or_default();
    if parameter("list-type") != "2" {
        let message = "Only list-type=2 is implemented here.";
        return Err(Fail::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message));
    }
    let limit = match parameter("max-keys") {
        "" => PAGE,
        limit => limit.parse::<usize>().map_err(|_| Fail::invalid("Invalid max-keys."))?.min(PAGE),
    };
    let token = match parameter("continuation-token") {
        "" => None,
        token => {
            let bytes = BASE64_URL_SAFE.decode(token).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            Some(text.ok_or_else(|| Fail::invalid("Invalid continuation token."))?)
        }
    };
    let prefix = parameter("prefix");
    let delimiter = parameter("delimiter");
    // A token continues a listing that has taken its start into account.
    let after = token.as_deref().unwrap_or(parameter("start-after"));
    let page = page(state, call, prefix, delimiter, after, limit)?;

    let encode = |text: &str| match parameter("encoding-type") {
        "url" => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        _ => escape(text).into_owned(),
    };
    let mut out = format!(
        "<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><Name>{}</Name><Prefix>{}</Prefix>\
         <MaxKeys>{limit}</MaxKeys><KeyCount>{}</KeyCount><IsTruncated>{}</IsTruncated>",
        escape(&call.bucket),
        encode(prefix),
        page.objects.len() + page.prefixes.len(),
        page.next.is_some(),
    );
    if parameter("encoding-type") == "url" {
        out.push_str("<EncodingType>url</EncodingType>");
    }
    if let Some(next) = &page.next {
        let token = BASE64_URL_SAFE.encode(next);
        out.push_str(&format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    }
    for (key, object) in &page.objects {
        out.push_str(&format!(
            "<Contents><Key>{}</Key><Generation>{}</Generation><MetaGeneration>1</MetaGeneration>\
             <LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
            encode(key),
            object.generation,
            object.last_modified.to_rfc3339_opts(SecondsFormat::Millis, true),
            escape(&object.etag),
            object.body.len(),
        ));
    }
    for prefix in &page.prefixes {
        out.push_str(&format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encode(prefix)));
    }
    out.push_str("</ListBucketResult>");
    Ok(reply::xml(&out))
}

/// One page of a listing.
#[derive(Default)]
struct Page<'a> {
    objects: Vec<(&'a str, &'a Object)>,
    prefixes: BTreeSet<String>,
    /// The last entry, when more follow.
    next: Option<String>,
}

/// Objects and common prefixes together, in byte order, that come after `after`.
fn page<'a>(
    state: &'a State,
    call: &Call<'_>,
    prefix: &str,
    delimiter: &str,
    after: &str,
    limit: usize,
) -> Result<Page<'a>, Fail> {
    let bucket = state.bucket(&call.bucket)?;
    let mut page = Page::default();
    let mut last = String::new();
    if limit == 0 {
        return Ok(page);
    }
    let keys = bucket.live_from(prefix.max(after)).take_while(|(key, _)| key.starts_with(prefix));
    for (key, object) in keys {
        let group = key[prefix.len()..]
            .find(delimiter)
            .filter(|_| !delimiter.is_empty())
            .map(|at| &key[..prefix.len() + at + delimiter.len()]);
        // A common prefix that ended the last page stands for all keys below it.
        let group_is_done = group.is_some_and(|group| page.prefixes.contains(group) || group == after);
        if key <= after || group_is_done {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == limit {
            page.next = Some(last);
            break;
        }
        match group {
            Some(group) => {
                last = group.to_owned();
                page.prefixes.insert(last.clone());
            }
            None => {
                last = key.to_owned();
                page.objects.push((key, object));
            }
        }
    }
    Ok(page)
}

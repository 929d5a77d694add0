//! What an answer says about the object, and the bytes of it that were asked for.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, StatusCode, header};
use http_body_util::{BodyExt, Full};
use object_store::client::{HttpResponse, HttpResponseBody};
use object_store::path::Path;
use object_store::{Attribute, Attributes, Extensions, ObjectMeta};

use super::{of_http, shown, unsupported};
use crate::error::{Error, ErrorKind, Operation, Result};

/// An answer of success.
pub(super) struct Answer {
    parts: http::response::Parts,
    body: HttpResponseBody,
    url: String,
}

impl Answer {
    pub(super) fn new(response: HttpResponse, url: &str) -> Self {
        let (parts, body) = response.into_parts();
        Self { parts, body, url: url.to_owned() }
    }

    /// Whether the body is a range of the object.
    pub(super) fn is_partial(&self) -> bool {
        self.parts.status == StatusCode::PARTIAL_CONTENT
    }

    /// The size of the whole object, if the server says it.
    pub(super) fn stated_size(&self) -> Option<u64> {
        match self.content_range() {
            Some((_, size)) => size,
            None if self.is_partial() => None,
            None => text(&self.parts.headers, header::CONTENT_LENGTH)?.trim().parse().ok(),
        }
    }

    /// The range that the body is, and the size of the whole, from `bytes 0-9/100` or `bytes 0-9/*`.
    fn content_range(&self) -> Option<(Range<u64>, Option<u64>)> {
        if !self.is_partial() {
            return None;
        }
        let (range, size) =
            text(&self.parts.headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some((first..last.checked_add(1)?, size.trim().parse().ok()))
    }

    /// The answer with the size of the whole object. Where the server does not say it, the body is read to its end, if
    /// that comes within `limit` bytes.
    pub(super) async fn sized(mut self, limit: usize) -> Result<(Self, u64)> {
        if let Some(size) = self.stated_size() {
            return Ok((self, size));
        }
        let unknown = |message: &str| unsupported(Operation::Get, &self.url, message);
        if self.is_partial() {
            return Err(unknown("the server sends a range and does not say of what"));
        }
        let mut read = Vec::new();
        let mut body = std::mem::replace(&mut self.body, whole(Bytes::new())).bytes_stream();
        while let Some(chunk) = body.try_next().await.map_err(|error| of_http(error, Operation::Get, &self.url))? {
            if read.len() + chunk.len() > limit {
                let message = format!("the server does not say the object's size, which is over {limit} bytes");
                return Err(unknown(&message));
            }
            read.extend_from_slice(&chunk);
        }
        let size = read.len() as u64;
        self.body = whole(read.into());
        Ok((self, size))
    }

    pub(super) fn e_tag(&self) -> Option<&str> {
        text(&self.parts.headers, header::ETAG)
    }

    pub(super) fn meta(&self, path: &Path, size: u64) -> ObjectMeta {
        let last_modified = text(&self.parts.headers, header::LAST_MODIFIED)
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            // Not said: as object_store has it, the beginning of time.
            .map_or(DateTime::<Utc>::UNIX_EPOCH, |date| date.to_utc());
        ObjectMeta {
            location: path.clone(),
            last_modified,
            size,
            e_tag: self.e_tag().map(str::to_owned),
            version: None,
        }
    }

    pub(super) fn attributes(&self) -> Attributes {
        let named = [
            (header::CACHE_CONTROL, Attribute::CacheControl),
            (header::CONTENT_DISPOSITION, Attribute::ContentDisposition),
            (header::CONTENT_ENCODING, Attribute::ContentEncoding),
            (header::CONTENT_LANGUAGE, Attribute::ContentLanguage),
            (header::CONTENT_TYPE, Attribute::ContentType),
        ];
        let value = |name| text(&self.parts.headers, name).map(str::to_owned);
        named.into_iter().filter_map(|(name, attribute)| Some((attribute, value(name)?))).collect()
    }

    pub(super) fn into_extensions(self) -> Extensions {
        self.parts.extensions
    }

    /// The bytes `wanted` of the object. Cut out of the body where that is the whole object.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] if the body is another range.
    pub(super) fn into_stream(
        self,
        wanted: Range<u64>,
    ) -> Result<(BoxStream<'static, object_store::Result<Bytes>>, Extensions)> {
        let operation = Operation::Get;
        let start = match self.content_range() {
            Some((range, _)) if range == wanted => range.start,
            Some((range, _)) => {
                let message = format!("bytes {wanted:?} were asked for, and {range:?} came");
                return Err(Error::new(ErrorKind::Integrity, operation, shown(&self.url)).with_message(message));
            }
            None => 0,
        };
        let url = self.url;
        let body = self.body.bytes_stream().map_err(move |error| of_http(error, operation, &url).into_store());
        Ok((cut(body.boxed(), start, wanted), self.parts.extensions))
    }
}

/// The bytes `wanted` of a stream that begins at `start`. It ends with the last of them: what follows is not read.
fn cut(
    body: BoxStream<'static, object_store::Result<Bytes>>,
    start: u64,
    wanted: Range<u64>,
) -> BoxStream<'static, object_store::Result<Bytes>> {
    stream::try_unfold((body, start), move |(mut body, mut position)| {
        let wanted = wanted.clone();
        async move {
            while position < wanted.end {
                let Some(chunk) = body.try_next().await? else {
                    let message = format!("the body ended at byte {position} of {}", wanted.end);
                    let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, message);
                    return Err(object_store::Error::Generic { store: "http", source: Box::new(error) });
                };
                let chunk_start = position;
                position += chunk.len() as u64;
                let first = wanted.start.saturating_sub(chunk_start).min(chunk.len() as u64);
                let last = (wanted.end - chunk_start).min(chunk.len() as u64);
                if first < last {
                    // Both lie within the chunk, whose length is a usize.
                    return Ok(Some((chunk.slice(first as usize..last as usize), (body, position))));
                }
            }
            Ok(None)
        }
    })
    .boxed()
}

/// Whether a list of entity tags, as in If-Match, has this one; weak tags are compared like strong ones.
pub(super) fn matches_any(tags: &str, e_tag: Option<&str>) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    tags.trim() == "*" || e_tag.is_some_and(|e_tag| tags.split(',').any(|tag| strong(tag) == strong(e_tag)))
}

fn whole(bytes: Bytes) -> HttpResponseBody {
    HttpResponseBody::new(Full::new(bytes).map_err(|never| match never {}))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    async fn cut_out(chunks: &[&'static str], start: u64, wanted: Range<u64>) -> object_store::Result<String> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
        let bytes: Vec<Bytes> = cut(stream::iter(chunks).boxed(), start, wanted).try_collect().await?;
        Ok(String::from_utf8(bytes.concat()).unwrap())
    }

    #[tokio::test]
    async fn a_range_is_cut_out_of_a_body_at_any_chunk_border() {
        let text = "0123456789";
        for split in 0..=10 {
            let chunks = [&text[..split], &text[split..]];
            for first in 0..10 {
                for end in first + 1..=10 {
                    let expected = &text[first..end];
                    assert_eq!(cut_out(&chunks, 0, first as u64..end as u64).await.unwrap(), expected);
                }
            }
        }
        assert_eq!(cut_out(&["345", "6"], 3, 3..7).await.unwrap(), "3456");
    }

    #[tokio::test]
    async fn a_body_that_ends_too_soon_is_lost_and_one_that_goes_on_is_not_read() {
        let error = cut_out(&["0123"], 0, 2..6).await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Interrupted);
        let body = stream::once(std::future::ready(Ok(Bytes::from_static(b"01")))).chain(stream::pending()).boxed();
        let read: Vec<_> = cut(body, 0, 0..2).try_collect().await.unwrap();
        assert_eq!(read, ["01"]);
    }

    #[test]
    fn tags_are_found_in_lists() {
        assert!(matches_any("*", None));
        assert!(matches_any("\"a\", \"b\"", Some("\"b\"")));
        assert!(matches_any("W/\"a\"", Some("\"a\"")));
        assert!(!matches_any("\"a\"", Some("\"b\"")));
        assert!(!matches_any("\"a\"", None));
    }
}

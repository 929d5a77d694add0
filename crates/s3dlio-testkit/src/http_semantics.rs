//! What every HTTP server here decides the same way: byte ranges and conditional requests (RFC 9110).

use std::ops::Range;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

/// What a Range header asks of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing, or something that a server ignores: the whole object.
    Whole,
    /// A part of it.
    Part(Range<u64>),
    /// A part that it does not have.
    Unsatisfiable,
}

/// Reads a Range header for an object of this size; of several ranges none is served, as most object stores do.
pub(crate) fn asked_range(headers: &HeaderMap, size: u64) -> Asked {
    let Some(value) = headers.get(http::header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Asked::Whole;
    };
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Asked::Whole,
    };
    if range.start >= size || range.is_empty() { Asked::Unsatisfiable } else { Asked::Part(range) }
}

/// The status that a read ends with instead of the object, by RFC 9110 section 13.2.2.
pub(crate) fn failed_condition(headers: &HeaderMap, etag: &str, last_modified: DateTime<Utc>) -> Option<StatusCode> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |name: &str| {
        text(name).and_then(|value| DateTime::parse_from_rfc2822(value).ok()).map(|date| date.with_timezone(&Utc))
    };
    let lists = |list: &str| list.trim() == "*" || list.split(',').any(|tag| tag.trim() == etag);
    // An HTTP date has no fraction.
    let modified = last_modified.timestamp();
    if let Some(list) = text("if-match") {
        if !lists(list) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if date("if-unmodified-since").is_some_and(|date| modified > date.timestamp()) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    if let Some(list) = text("if-none-match") {
        return lists(list).then_some(StatusCode::NOT_MODIFIED);
    }
    date("if-modified-since").filter(|date| modified <= date.timestamp()).map(|_| StatusCode::NOT_MODIFIED)
}

/// A date as HTTP writes it.
pub(crate) fn http_date(date: DateTime<Utc>) -> String {
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, size: u64) -> Asked {
        asked_range(&HeaderMap::from_iter([(http::header::RANGE, range.parse().unwrap())]), size)
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(asked_range(&HeaderMap::new(), 10), Asked::Whole);
        assert_eq!(asked("bytes=0-4", 10), Asked::Part(0..5));
        assert_eq!(asked("bytes=5-99", 10), Asked::Part(5..10));
        assert_eq!(asked("bytes=5-", 10), Asked::Part(5..10));
        assert_eq!(asked("bytes=-3", 10), Asked::Part(7..10));
        assert_eq!(asked("bytes=-30", 10), Asked::Part(0..10));
        assert_eq!(asked("bytes=10-", 10), Asked::Unsatisfiable);
        assert_eq!(asked("bytes=-0", 10), Asked::Unsatisfiable);
        assert_eq!(asked("bytes=0-0", 0), Asked::Unsatisfiable);
        assert_eq!(asked("bytes=5-4", 10), Asked::Whole);
        assert_eq!(asked("lines=1-2", 10), Asked::Whole);
        assert_eq!(asked("bytes=0-1,3-4", 10), Asked::Whole);
    }

    #[test]
    fn etag_conditions_come_before_dates() {
        let date = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let check = |pairs: &[(&'static str, &str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
            failed_condition(&HeaderMap::from_iter(headers), "\"a\"", date).map(|status| status.as_u16())
        };
        let earlier = "Mon, 12 Jan 1970 13:46:39 GMT";
        assert_eq!(http_date(date), "Mon, 12 Jan 1970 13:46:40 GMT");
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[("if-match", "\"b\", \"a\"")]), None);
        assert_eq!(check(&[("if-match", "\"b\"")]), Some(412));
        assert_eq!(check(&[("if-none-match", "\"a\"")]), Some(304));
        assert_eq!(check(&[("if-none-match", "\"b\"")]), None);
        assert_eq!(check(&[("if-unmodified-since", earlier)]), Some(412));
        assert_eq!(check(&[("if-modified-since", earlier)]), None);
        assert_eq!(check(&[("if-modified-since", &http_date(date))]), Some(304));
        assert_eq!(check(&[("if-match", "\"a\""), ("if-unmodified-since", earlier)]), None);
    }
}

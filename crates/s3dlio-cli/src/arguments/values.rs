//! Values of arguments.

use s3dlio::{Error, Key, Location, Scheme, UnifiedLoaderConfig};

/// Bytes of an object, as a command line says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// From the first to the last, which is included.
    Between(u64, u64),
    /// From here to the end.
    From(u64),
    /// This many at the end.
    Last(u64),
}

impl std::str::FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
        let parsed = text.split_once('-').and_then(|(first, last)| match (first, last) {
            ("", count) => number(count).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => Some(Self::Between(number(first)?, number(last)?)),
        });
        match parsed {
            Some(Self::Between(first, last)) if last < first => Err("the last byte comes before the first".into()),
            Some(range) => Ok(range),
            None => Err("write FIRST-LAST, FIRST- or -COUNT".into()),
        }
    }
}

pub(super) fn location(text: &str) -> Result<Location, Error> {
    Location::parse(text)
}

/// A size as the configuration writes them, e.g. `64MiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let mut values = UnifiedLoaderConfig::default();
    let key = Key::find("range_split_threshold").ok_or("sizes cannot be read")?;
    key.assign(&mut values, text).map_err(|_| "write a number of bytes, or with a unit such as 64MiB")?;
    Ok(values.range_split_threshold)
}

/// A scheme by its name, or that of a URI.
pub(super) fn scheme(text: &str) -> Result<Scheme, String> {
    let name = text.split("://").next().unwrap_or(text);
    let known = Scheme::ALL.into_iter().find(|scheme| scheme.as_str() == name);
    known.ok_or_else(|| "known are s3, az, gs, file, direct, memory, http and https".into())
}

pub(super) fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_writes_them() {
        assert_eq!("0-99".parse(), Ok(ByteRange::Between(0, 99)));
        assert_eq!("7-".parse(), Ok(ByteRange::From(7)));
        assert_eq!("-512".parse(), Ok(ByteRange::Last(512)));
        for wrong in ["", "5", "-", "9-3", "a-b", "1-2-3", "+1-2"] {
            assert!(wrong.parse::<ByteRange>().is_err(), "{wrong}");
        }
    }
}

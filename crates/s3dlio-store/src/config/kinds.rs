//! The kinds of values: how each is written, read back and bounded.
//!
//! A kind reads text ([`Kind::parse`]), writes it ([`Kind::print`]) and says which values are allowed
//! ([`Kind::check`]), so that a file, a variable, a flag and a keyword argument are all understood alike. For every
//! allowed value, `parse(print(value)) == value`.

use std::path::PathBuf;
use std::time::Duration;

use super::RequestLimit;
use crate::constants::{CONCURRENCY_MAXIMUM, DURATION_MAXIMUM, GIB, KIB, MIB};

/// How values of one kind are written and bounded.
pub(super) trait Kind {
    /// The type of the field.
    type Value;
    /// What stands for the value in a usage line, e.g. `SIZE`.
    const NAME: &'static str;

    /// What is accepted, as it follows "is not".
    fn accepts() -> String;

    /// The value that `text` writes, if it writes one; not yet checked.
    fn parse(text: &str) -> Option<Self::Value>;

    /// The shortest exact way to write the value.
    fn print(value: &Self::Value) -> String;

    /// Whether the value is allowed.
    fn check(value: &Self::Value) -> bool;
}

/// A whole number from `MIN` to `MAX`.
pub(super) struct Count<const MIN: usize, const MAX: usize = { usize::MAX }>;

impl<const MIN: usize, const MAX: usize> Kind for Count<MIN, MAX> {
    type Value = usize;
    const NAME: &'static str = "COUNT";

    fn accepts() -> String {
        match MAX {
            usize::MAX => format!("a whole number of at least {MIN}"),
            _ => format!("a whole number from {MIN} to {MAX}"),
        }
    }

    fn parse(text: &str) -> Option<usize> {
        text.trim().parse().ok()
    }

    fn print(value: &usize) -> String {
        value.to_string()
    }

    fn check(value: &usize) -> bool {
        (MIN..=MAX).contains(value)
    }
}

/// Any 64-bit number.
pub(super) struct Number;

impl Kind for Number {
    type Value = u64;
    const NAME: &'static str = "NUMBER";

    fn accepts() -> String {
        format!("a whole number from 0 to {}", u64::MAX)
    }

    fn parse(text: &str) -> Option<u64> {
        text.trim().parse().ok()
    }

    fn print(value: &u64) -> String {
        value.to_string()
    }

    fn check(_value: &u64) -> bool {
        true
    }
}

/// Bytes, from `MIN` to `MAX`, a multiple of `MULTIPLE`.
pub(super) struct Size<const MIN: u64, const MAX: u64 = { u64::MAX }, const MULTIPLE: u64 = 1>;

impl<const MIN: u64, const MAX: u64, const MULTIPLE: u64> Kind for Size<MIN, MAX, MULTIPLE> {
    type Value = u64;
    const NAME: &'static str = "SIZE";

    fn accepts() -> String {
        let mut text = "a size such as 8MiB, 64KiB, 1GB or a number of bytes".to_owned();
        match MAX {
            u64::MAX => text += &format!(", at least {}", print_size(MIN)),
            _ => text += &format!(", from {} to {}", print_size(MIN), print_size(MAX)),
        }
        if MULTIPLE > 1 {
            text += &format!(", a multiple of {}", print_size(MULTIPLE));
        }
        text
    }

    fn parse(text: &str) -> Option<u64> {
        parse_size(text)
    }

    fn print(value: &u64) -> String {
        print_size(*value)
    }

    fn check(value: &u64) -> bool {
        (MIN..=MAX).contains(value) && value.is_multiple_of(MULTIPLE)
    }
}

const TIB: u64 = 1024 * GIB;

/// Units of sizes. A bare letter means the binary unit, as in `dd` and `ls`.
const SIZE_UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", KIB),
    ("kib", KIB),
    ("kb", 1_000),
    ("m", MIB),
    ("mib", MIB),
    ("mb", 1_000_000),
    ("g", GIB),
    ("gib", GIB),
    ("gb", 1_000_000_000),
    ("t", TIB),
    ("tib", TIB),
    ("tb", 1_000_000_000_000),
];

/// Reads a size in bytes: a number, decimals allowed where the result is whole, and a unit. `KiB`, `MiB`, `GiB` and
/// `TiB` (or `K`, `M`, `G`, `T`) are powers of 1,024; `KB`, `MB`, `GB` and `TB` are powers of 1,000; case does not
/// matter.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_lowercase();
    let (_, scale) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Exact arithmetic: 1.5GiB is a whole number of bytes, 1.5 and 0.3KiB are not.
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let bytes = digits.checked_mul(u128::from(scale))?;
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || !bytes.is_multiple_of(divisor) {
        return None;
    }
    u64::try_from(bytes / divisor).ok()
}

/// Writes a size in the largest binary unit that holds it exactly.
pub(super) fn print_size(bytes: u64) -> String {
    for (unit, scale) in [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)] {
        if bytes > 0 && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

/// A length of time, of at least `MIN_MILLIS` milliseconds and at most [`DURATION_MAXIMUM`].
pub(super) struct Span<const MIN_MILLIS: u64>;

impl<const MIN_MILLIS: u64> Kind for Span<MIN_MILLIS> {
    type Value = Duration;
    const NAME: &'static str = "DURATION";

    fn accepts() -> String {
        let (least, most) = (Duration::from_millis(MIN_MILLIS), print_duration(DURATION_MAXIMUM));
        format!("a duration from {} to {most}, such as 10s, 250ms, 1m or a number of seconds", print_duration(least))
    }

    fn parse(text: &str) -> Option<Duration> {
        let text = text.trim();
        // A bare number is what Python gives for seconds; "inf", "nan" and signs are not durations.
        if text.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(seconds) = text.parse::<f64>()
        {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        humantime::parse_duration(text).ok()
    }

    fn print(value: &Duration) -> String {
        print_duration(*value)
    }

    fn check(value: &Duration) -> bool {
        (Duration::from_millis(MIN_MILLIS)..=DURATION_MAXIMUM).contains(value)
    }
}

/// Writes a duration with units, e.g. `1m 30s`.
pub(super) fn print_duration(value: Duration) -> String {
    humantime::format_duration(value).to_string()
}

/// Yes or no.
pub(super) struct Toggle;

impl Kind for Toggle {
    type Value = bool;
    const NAME: &'static str = "BOOL";

    fn accepts() -> String {
        "true or false".to_owned()
    }

    fn parse(text: &str) -> Option<bool> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn print(value: &bool) -> String {
        value.to_string()
    }

    fn check(_value: &bool) -> bool {
        true
    }
}

/// A [`RequestLimit`].
pub(super) struct Limit;

impl Kind for Limit {
    type Value = RequestLimit;
    const NAME: &'static str = "LIMIT";

    fn accepts() -> String {
        format!("\"adaptive\" or a whole number from 1 to {CONCURRENCY_MAXIMUM}")
    }

    fn parse(text: &str) -> Option<RequestLimit> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("adaptive") {
            return Some(RequestLimit::Adaptive);
        }
        text.parse().ok().map(RequestLimit::Fixed)
    }

    fn print(value: &RequestLimit) -> String {
        value.to_string()
    }

    fn check(value: &RequestLimit) -> bool {
        match value {
            RequestLimit::Adaptive => true,
            RequestLimit::Fixed(limit) => (1..=CONCURRENCY_MAXIMUM).contains(limit),
        }
    }
}

/// A name: one line without white space around it.
pub(super) struct Name;

impl Kind for Name {
    type Value = String;
    const NAME: &'static str = "NAME";

    fn accepts() -> String {
        "a name".to_owned()
    }

    fn parse(text: &str) -> Option<String> {
        Some(text.trim().to_owned())
    }

    fn print(value: &String) -> String {
        value.clone()
    }

    fn check(value: &String) -> bool {
        !value.is_empty() && value.trim() == value && !value.contains(char::is_control)
    }
}

/// The address of an endpoint.
pub(super) struct Address;

impl Kind for Address {
    type Value = String;
    const NAME: &'static str = "URL";

    fn accepts() -> String {
        "an address such as https://host:port, without a user name, a password or a query".to_owned()
    }

    fn parse(text: &str) -> Option<String> {
        Some(text.trim().to_owned())
    }

    fn print(value: &String) -> String {
        without_password(value)
    }

    fn check(value: &String) -> bool {
        let Ok(url) = url::Url::parse(value) else { return false };
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && value.trim() == value
            // Looked for in the text: the parser drops an empty user name, `print` would not.
            && !value.contains('@')
            && url.query().is_none()
            && url.fragment().is_none()
    }
}

/// An address without what stands before its `@`, for messages: it may be a password.
pub(super) fn without_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &text[..scheme], &text[at..]),
        _ => text.to_owned(),
    }
}

/// The path of a file.
pub(super) struct File;

impl Kind for File {
    type Value = PathBuf;
    const NAME: &'static str = "FILE";

    fn accepts() -> String {
        "the path of a file".to_owned()
    }

    fn parse(text: &str) -> Option<PathBuf> {
        Some(PathBuf::from(text))
    }

    fn print(value: &PathBuf) -> String {
        value.to_string_lossy().into_owned()
    }

    fn check(value: &PathBuf) -> bool {
        // A path that is not UTF-8 works, but cannot be written into a file or shown; nothing else is known here.
        value.to_str().is_some_and(|path| !path.is_empty() && !path.contains(char::is_control))
    }
}

/// A value that may be left open, which is written `none` or as an empty string.
pub(super) struct Optional<K>(std::marker::PhantomData<K>);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;
    const NAME: &'static str = K::NAME;

    fn accepts() -> String {
        format!("{} or \"none\"", K::accepts())
    }

    fn parse(text: &str) -> Option<Self::Value> {
        match text.trim() {
            "" => Some(None),
            none if none.eq_ignore_ascii_case("none") => Some(None),
            _ => K::parse(text).map(Some),
        }
    }

    fn print(value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| "none".to_owned(), K::print)
    }

    fn check(value: &Self::Value) -> bool {
        value.as_ref().is_none_or(|value| K::check(value) && !K::print(value).eq_ignore_ascii_case("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_in_every_unit() {
        for (text, bytes) in [
            ("8MiB", 8 * MIB),
            ("64 KiB", 64 * KIB),
            ("1GB", 1_000_000_000),
            ("1.5GiB", 1536 * MIB),
            ("2.5kb", 2500),
            (" 8m ", 8 * MIB),
            ("512", 512),
            ("512B", 512),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5", "0.3KiB", ".5GiB", "1.", "1.2.3MB", "8 MiBs", "1e6", "99999999999TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, millis) in [("10s", 10_000), ("250ms", 250), ("1m", 60_000), ("2.5", 2_500), ("1m 30s", 90_000)] {
            assert_eq!(Span::<1>::parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "-1", "inf", "nan", "ten", "10 parsecs", "1e300"] {
            assert_eq!(Span::<1>::parse(text), None, "{text}");
        }
        assert!(!Span::<1>::check(&Duration::ZERO) && Span::<0>::check(&Duration::ZERO));
        assert!(!Span::<0>::check(&Duration::MAX), "a deadline so far away overflows the clock");
    }

    #[test]
    fn booleans_are_read_as_shells_toml_and_python_write_them() {
        for (text, value) in [("True", true), ("1", true), ("yes", true), ("ON", true), ("off", false), ("no", false)] {
            assert_eq!(Toggle::parse(text), Some(value), "{text}");
        }
        assert_eq!(Toggle::parse("maybe"), None);
    }

    #[test]
    fn an_endpoint_is_an_address_without_secrets() {
        for good in ["http://127.0.0.1:9000", "https://s3.example.com/", "http://[::1]:1/base"] {
            assert!(Address::check(&good.to_owned()), "{good}");
        }
        for bad in ["localhost:9000", "ftp://h", "http://", "http://u:p@h", "http://@h", "http://h?sig=x", "h"] {
            assert!(!Address::check(&bad.to_owned()), "{bad}");
        }
        assert_eq!(without_password("http://user:hunter2@host:1/"), "http://…@host:1/");
    }
}

//! Manifests: text files that list objects.

use s3dlio_store::{Error, ErrorKind, Location, Operation, Result};

use super::keys::{KeyTable, KeyTableBuilder};
use super::{check_object, invalid};

/// The objects that the manifest at `location`, whose content is `bytes`, lists.
pub(super) fn parse(location: &Location, bytes: &[u8]) -> Result<KeyTable> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let directory = directory_of(location);
    let mut builder = KeyTableBuilder::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = || format!("{location}:{}", index + 1);
        let line = std::str::from_utf8(line).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, Operation::Load, place())
                .with_message("the line is not UTF-8")
                .with_source(error)
        })?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (entry, size) = split_size(line).map_err(|message| invalid(place(), &message))?;
        push(&mut builder, &directory, entry, size).map_err(|message| invalid(place(), &message))?;
    }
    if builder.is_empty() {
        return Err(invalid(location.to_string(), "the manifest lists no object"));
    }
    Ok(builder.finish())
}

fn directory_of(location: &Location) -> Location {
    let key = location.key();
    location.with_key(key.rfind('/').map_or("", |slash| &key[..=slash]))
}

fn split_size(line: &str) -> Result<(&str, Option<u64>), String> {
    let Some((entry, size)) = line.split_once('\t') else {
        return Ok((line, None));
    };
    let size = size.trim();
    match size.parse() {
        Ok(size) if size != u64::MAX => Ok((entry, Some(size))),
        _ => Err(format!("{size:?} after the tab is not a size in bytes")),
    }
}

fn push(builder: &mut KeyTableBuilder, directory: &Location, entry: &str, size: Option<u64>) -> Result<(), String> {
    if entry.contains("://") || entry.starts_with('/') {
        // What is wrong is said here with the line; the error's own place would be the entry alone.
        let location = Location::parse(entry).map_err(|error| error.to_string())?;
        check_object(&location).map_err(|message| format!("{entry}: {message}"))?;
        builder.push(&location.with_key(""), location.key(), size);
        return Ok(());
    }
    if entry.contains('\0') {
        return Err("a name cannot contain a NUL byte".to_owned());
    }
    let (base, suffix) = resolve(directory.key(), entry).ok_or_else(|| format!("{entry}: leads above the root"))?;
    let base = directory.with_key(base);
    check_object(&base.join(suffix)).map_err(|message| format!("{entry}: {message}"))?;
    builder.push(&base, suffix, size);
    Ok(())
}

/// The directory and the rest of a relative entry, once `./` and `../` at its beginning are resolved. Segments further
/// on belong to the key.
fn resolve<'a>(directory: &'a str, entry: &'a str) -> Option<(&'a str, &'a str)> {
    if let Some(rest) = entry.strip_prefix("./") {
        return resolve(directory, rest);
    }
    if let Some(rest) = entry.strip_prefix("../") {
        let parent = directory.strip_suffix('/')?;
        return resolve(parent.rfind('/').map_or("", |slash| &parent[..=slash]), rest);
    }
    Some((directory, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(manifest: &str, text: &str) -> Result<Vec<String>> {
        let table = parse(&Location::parse(manifest).unwrap(), text.as_bytes())?;
        Ok((0..table.len()).map(|index| table.location(index).to_string()).collect())
    }

    #[test]
    fn entries_are_uris_paths_or_relative_to_the_manifest() {
        let text =
            "\u{feff}# a set\n\ngs://other/a b\nimages/1.jpg\t10\r\n./#2\n   # indented\n../up/./3\n/data/4\n \t \n5";
        assert_eq!(
            uris("s3://bucket/sets/one/m.txt", text).unwrap(),
            [
                "gs://other/a b",
                "s3://bucket/sets/one/images/1.jpg",
                "s3://bucket/sets/one/#2",
                "s3://bucket/sets/up/./3",
                "file:///data/4",
                "s3://bucket/sets/one/5"
            ]
        );
        assert_eq!(uris("file:///m.txt", "a").unwrap(), ["file:///a"]);
        assert_eq!(uris("file:///sets/m.txt", "../a").unwrap(), ["file:///a"]);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, message) in [
            ("a\nb\tten\n", "load s3://b/dir/m.txt:2: invalid input: \"ten\" after the tab is not a size in bytes"),
            ("a\nb\t1\t2", "load s3://b/dir/m.txt:2: invalid input: \"1\\t2\" after the tab is not a size in bytes"),
            ("a\tb\t-1", "load s3://b/dir/m.txt:1: invalid input: \"b\\t-1\" after the tab is not a size in bytes"),
            ("#\n\ns4://x/y", "load s3://b/dir/m.txt:3: invalid input: parse s4://x/y: invalid input: unknown scheme"),
            ("../../a", "load s3://b/dir/m.txt:1: invalid input: ../../a: leads above the root"),
            ("dir/", "load s3://b/dir/m.txt:1: invalid input: dir/: this names a directory"),
            ("s3://b", "load s3://b/dir/m.txt:1: invalid input: s3://b: this names no object"),
            ("# nothing\n\n", "load s3://b/dir/m.txt: invalid input: the manifest lists no object"),
        ] {
            let error = uris("s3://b/dir/m.txt", text).unwrap_err();
            assert!(error.to_string().starts_with(message), "{error}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        let error = parse(&Location::parse("memory:///m").unwrap(), b"a\n\xff\xfe\n").unwrap_err();
        assert!(error.to_string().starts_with("load memory:///m:2: invalid input: the line is not UTF-8"), "{error}");
    }

    #[test]
    fn sizes_are_kept() {
        let table = parse(&Location::parse("memory:///m").unwrap(), b"a\t0\nb\nc\t 12 \n").unwrap();
        assert_eq!((0..3).map(|index| table.size(index)).collect::<Vec<_>>(), [Some(0), None, Some(12)]);
    }
}

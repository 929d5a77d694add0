//! Keys are the store's: whatever a path can name round-trips and is listed as it is.

use object_store::ObjectStoreExt;

use super::{Context, Deviation, expect_error};

/// One key for each character that some layer (URL, query, XML, header, shell, file system) may treat specially.
const ODD: [&str; 30] = [
    "space in it",
    " leading space",
    "trailing space ",
    "two  spaces",
    "plus+plus",
    "percent%",
    "tilde~",
    "hash#fragment",
    "question?query",
    "ampersand&amp;",
    "equals=equals",
    "colon:colon",
    "semicolon;semicolon",
    "comma,comma",
    "at@at",
    "dollar$dollar",
    "exclamation!",
    "apostrophe'",
    "quote\"quote",
    "parentheses()",
    "brackets[]",
    "braces{}",
    "angle<tag>",
    "star*star",
    "pipe|pipe",
    "caret^caret",
    "backtick`",
    ".hidden",
    "dots..dots",
    "ünïcödé-日本語-😀",
];

/// Put, get, range, head, list and delete take each odd key as it is, as a file name and as a directory.
pub async fn odd_characters(context: &Context) {
    for key in ODD {
        round_trip(context, key).await;
        round_trip(context, &format!("{key}/below")).await;
    }
}

/// Keys that look percent-encoded are not decoded: `a%20b` and `a b` are two objects.
pub async fn encoded_looking_keys_are_not_decoded(context: &Context) {
    let keys = ["a b", "a%20b", "a%2520b", "a+b", "a%2Bb", "a%2Fb"];
    for key in keys {
        context.put(key, key).await;
    }
    for key in keys {
        assert_eq!(context.get(&context.path(key)).await, key, "the object {key:?}");
    }
    let mut listed = context.list(&context.root).await;
    listed.sort();
    let mut expected = keys.to_vec();
    expected.sort_unstable();
    assert_eq!(listed, expected, "all keys");
}

/// Keys of 1,024 bytes, the longest that S3, Azure and Google take, in segments that a file system takes as well.
pub async fn keys_of_1024_bytes(context: &Context) {
    for character in ["k", "é"] {
        let room = 1024 - context.root.as_ref().len() - 1;
        let segment = character.repeat(200 / character.len());
        let mut key = vec![segment; 6].join("/");
        let mut end = room;
        while !key.is_char_boundary(end) || key.as_bytes()[end - 1] == b'/' {
            end -= 1;
        }
        key.truncate(end);
        // A character of two bytes may leave one byte over.
        key.push_str(&"z".repeat(room - key.len()));
        assert_eq!(context.path(&key).as_ref().len(), 1024);
        if context.has(Deviation::LongKeysRefused) && context.store().put(&context.path(&key), "".into()).await.is_err()
        {
            continue;
        }
        round_trip(context, &key).await;
    }
}

/// Fifty levels are not too many.
pub async fn deep_keys(context: &Context) {
    round_trip(context, &vec!["d"; 50].join("/")).await;
}

async fn round_trip(context: &Context, key: &str) {
    let path = context.put(key, "0123456789").await;
    assert_eq!(context.get(&path).await, "0123456789", "get of {key:?}");
    let range = context.store().get_range(&path, 3..6).await;
    assert_eq!(range.unwrap_or_else(|error| panic!("range of {key:?}: {error}")), "345", "range of {key:?}");
    let head = context.store().head(&path).await.unwrap_or_else(|error| panic!("head of {key:?}: {error}"));
    assert_eq!(head.size, 10, "head of {key:?}");
    assert_eq!(context.list(&context.root).await, [key], "list");
    context.store().delete(&path).await.unwrap_or_else(|error| panic!("delete of {key:?}: {error}"));
    expect_error!(context.store().head(&path).await, NotFound, "head of {key:?} after its deletion");
}

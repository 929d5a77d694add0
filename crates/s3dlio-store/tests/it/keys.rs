//! Keys are the store's: listed as they are, read back where the protocol layer can name them, and reported by name where
//! it cannot.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use s3dlio_store::{Client, Config, Environment, ErrorKind, ListOptions, Location};
use s3dlio_testkit::gcs_front::GcsFront;
use s3dlio_testkit::http_server::HttpServer;
use s3dlio_testkit::servers::{Azurite, SeaweedFs};

/// Keys that object_store's `Path` can carry.
const NAMEABLE: [&str; 17] = [
    "plain",
    "dir/",
    "dir/a",
    "deep//b",
    "deep///",
    "a b",
    "a+b",
    "50%",
    "%2F",
    "%20",
    "ü/日本",
    "🦀",
    "a?b#c&d=e",
    "~!@$^*()",
    "back\\slash",
    "\"quoted\"<xml>",
    "...",
];

/// Keys that it cannot.
const UNNAMEABLE: [&str; 6] = ["/leads", "a/./b", "a/../b", "..", "tab\tkey", "line\nbreak"];

fn s3_environment(access: &str, secret: &str) -> Environment {
    Environment::from_iter([("AWS_ACCESS_KEY_ID", access), ("AWS_SECRET_ACCESS_KEY", secret)])
}

async fn listed(client: &Client, base: &Location) -> BTreeSet<String> {
    let pages: Vec<_> = client.list(base, ListOptions::recursive()).unwrap().try_collect().await.unwrap();
    pages.into_iter().flat_map(|page| page.objects).map(|object| object.key).collect()
}

/// Writes the keys through the client, finds them listed as they are, reads each back by its own name, and removes them.
async fn round_trip(client: &Client, base: &str, keys: &[&str]) {
    let base = Location::parse(base).unwrap();
    for key in keys {
        client.put(base.with_key(*key), (*key).to_owned()).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
    }
    assert_eq!(listed(client, &base).await, keys.iter().map(|key| (*key).to_owned()).collect());
    for key in keys {
        let location = base.with_key(*key);
        assert_eq!(client.get(&location).await.unwrap(), *key);
        assert_eq!(client.stat(&location).await.unwrap().size, key.len() as u64, "{key:?}");
    }
    let objects: Vec<_> = client.list_objects(&base).unwrap().try_collect().await.unwrap();
    assert!(objects.iter().all(|(location, _)| !location.key().ends_with('/')), "data sets skip markers");
    for key in keys {
        client.delete(base.with_key(*key)).await.unwrap();
        assert!(!client.exists(base.with_key(*key)).await.unwrap(), "{key:?}");
    }
    assert!(listed(client, &base).await.is_empty());
}

#[tokio::test]
async fn keys_of_gcs() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    let environment = Environment::from_iter([("CLOUDSDK_AUTH_ACCESS_TOKEN", server.token())]);
    let config = Config::builder().environment(environment).set("endpoint_url", server.endpoint());
    let client = Client::new(config.build().unwrap());
    let longest = "k".repeat(1024);
    let mut keys = NAMEABLE.to_vec();
    keys.push(&longest);
    round_trip(&client, "gs://bucket", &keys).await;

    for key in UNNAMEABLE {
        server.put_object("bucket", key, "x");
    }
    let base = Location::parse("gs://bucket").unwrap();
    assert_eq!(listed(&client, &base).await, UNNAMEABLE.iter().map(|key| (*key).to_owned()).collect());
    for key in UNNAMEABLE {
        let location = base.with_key(key);
        for error in [
            client.get(&location).await.unwrap_err(),
            client.stat(&location).await.unwrap_err(),
            client.exists(&location).await.unwrap_err(),
            client.delete(&location).await.unwrap_err(),
            client.put(&location, "y").await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("{key:?}")) && !text.contains(['\n', '\t']), "{text}");
        }
    }
    // Whoever removes all of them hears of each that stays.
    let results: Vec<_> = client.delete_tree(base).collect().await;
    assert_eq!(results.iter().filter(|deleted| deleted.result.is_err()).count(), UNNAMEABLE.len());
}

#[tokio::test]
async fn keys_of_seaweedfs() {
    let server = SeaweedFs::shared();
    let environment = s3_environment(server.access_key(), server.secret_key());
    let config = Config::builder().environment(environment).set("endpoint_url", server.endpoint());
    let client = Client::new(config.build().unwrap());
    // It folds empty segments, takes a backslash for a slash, and a marker for a directory.
    let keys: Vec<_> =
        NAMEABLE.into_iter().filter(|key| !key.contains("//") && !key.contains('\\') && !key.ends_with('/')).collect();
    round_trip(&client, &format!("s3://{}", server.new_bucket()), &keys).await;

    let base = Location::parse(&format!("s3://{}", server.new_bucket())).unwrap();
    client.put(base.with_key("dir/"), "").await.unwrap();
    assert_eq!(listed(&client, &base).await, BTreeSet::from(["dir/".to_owned()]));
    assert_eq!(client.stat(base.with_key("dir/")).await.unwrap().size, 0);
    assert_eq!(client.get(base.with_key("dir/")).await.unwrap(), "");
    assert!(!client.exists(base.with_key("dir/absent")).await.unwrap());
}

#[tokio::test]
async fn keys_of_azurite() {
    let server = Azurite::shared();
    let environment = Environment::from_iter([("AZURE_STORAGE_CONNECTION_STRING", server.connection_string())]);
    let client = Client::new(Config::builder().environment(environment).build().unwrap());
    // Azure takes a backslash for a slash.
    let keys: Vec<_> = NAMEABLE.into_iter().filter(|key| !key.contains('\\')).collect();
    round_trip(&client, &format!("az://{}", server.new_container()), &keys).await;
}

#[tokio::test]
async fn keys_of_memory() {
    round_trip(&Client::new(Config::default()), "memory://", &NAMEABLE).await;
}

#[tokio::test]
async fn an_address_with_a_signature_is_shown_without_it() {
    let server = HttpServer::start().unwrap();
    let client = Client::new(Config::default());
    let uri = format!("{}/object?X-Amz-Signature=secret", server.endpoint());
    let token = s3dlio_store::CancellationToken::new();
    token.cancel();
    for error in [
        client.get(&uri).await.unwrap_err(),
        client.stat(&uri).await.unwrap_err(),
        client.put(&uri, "x").await.unwrap_err(),
        client.delete(&uri).await.unwrap_err(),
        client.get_range(&uri, std::ops::Range { start: 2, end: 1 }).await.unwrap_err(),
        client.create_bucket(&uri).await.unwrap_err(),
        client.copy(&uri, "memory:///x", Default::default()).await.unwrap_err(),
        client.with_cancellation(token).get(&uri).await.unwrap_err(),
        client.list_objects(&uri).unwrap().try_collect::<Vec<_>>().await.unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"), "{error:?}");
        assert!(text.contains("/object"), "{text}");
    }
}

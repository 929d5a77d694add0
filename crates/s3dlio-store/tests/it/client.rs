//! The client's operations on every backend that can be written.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use s3dlio_store::{
    Client, Config, CopyOptions, Environment, ErrorKind, ListOptions, Location, PutMode, PutOptions, Scheme,
};
use s3dlio_testkit::data;
use s3dlio_testkit::gcs_front::GcsFront;
use s3dlio_testkit::http_server::HttpServer;
use s3dlio_testkit::servers::{Azurite, FakeGcs, S3sFs, SeaweedFs, unique_name};

/// A client and a prefix of its own to work in.
struct Place {
    client: Client,
    base: Location,
    /// A key that is hard to carry. s3s-fs says that its listings are percent-encoded and does not encode them.
    odd: &'static str,
    /// What must live as long as the place.
    _held: Box<dyn std::any::Any>,
}

fn place(config: s3dlio_store::ConfigBuilder, base: &str, held: impl std::any::Any) -> Place {
    Place {
        client: Client::new(config.build().unwrap()),
        base: Location::parse(base).unwrap(),
        odd: "c d+e%20",
        _held: Box::new(held),
    }
}

fn memory() -> Place {
    place(Config::builder(), "memory:///base/", ())
}

fn file() -> Place {
    let directory = tempfile::tempdir().unwrap();
    place(Config::builder(), &format!("file://{}/", directory.path().display()), directory)
}

fn direct() -> Place {
    // The build directory lies on a disk, where /tmp may not.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    place(Config::builder(), &format!("direct://{}/", directory.path().display()), directory)
}

fn s3_environment(access: &str, secret: &str) -> Environment {
    Environment::from_iter([("AWS_ACCESS_KEY_ID", access), ("AWS_SECRET_ACCESS_KEY", secret)])
}

fn s3s() -> Place {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let environment = s3_environment(server.access_key(), server.secret_key());
    let config = Config::builder().environment(environment).set("endpoint_url", server.endpoint());
    Place { odd: "c d", ..place(config, "s3://bucket/base/", server) }
}

fn seaweed() -> Place {
    let server = SeaweedFs::shared();
    let environment = s3_environment(server.access_key(), server.secret_key());
    let config = Config::builder().environment(environment).set("endpoint_url", server.endpoint());
    place(config, &format!("s3://{}/base/", server.new_bucket()), ())
}

fn azurite() -> Place {
    let server = Azurite::shared();
    let environment = Environment::from_iter([("AZURE_STORAGE_CONNECTION_STRING", server.connection_string())]);
    place(Config::builder().environment(environment), &format!("az://{}/base/", server.new_container()), ())
}

fn gcs() -> Place {
    let server = GcsFront::start().unwrap();
    let bucket = unique_name("bucket");
    server.create_bucket(&bucket);
    let environment = Environment::from_iter([("CLOUDSDK_AUTH_ACCESS_TOKEN", server.token())]);
    let config = Config::builder().environment(environment).set("endpoint_url", server.endpoint());
    place(config, &format!("gs://{bucket}/base/"), server)
}

impl Place {
    fn at(&self, key: &str) -> Location {
        self.base.join(key)
    }

    async fn put(&self, key: &str, content: impl Into<Bytes>) {
        self.client.put(self.at(key), object_store::PutPayload::from(content.into())).await.unwrap();
    }

    async fn keys(&self) -> Vec<String> {
        let listed: Vec<(Location, _)> = self.client.list_objects(&self.base).unwrap().try_collect().await.unwrap();
        let start = listed.first().map_or(0, |(location, _)| location.key().find("base/").map_or(0, |at| at + 5));
        let mut keys: Vec<String> = listed
            .iter()
            .map(|(location, _)| match self.base.scheme().is_file_system() {
                true => location.key().strip_prefix(self.base.key()).unwrap().to_owned(),
                false => location.key()[start..].to_owned(),
            })
            .collect();
        keys.sort();
        keys
    }

    /// Everything that a client does, on one store.
    async fn check(self) {
        self.whole_objects_and_ranges().await;
        self.conditions_and_metadata().await;
        self.listings().await;
        self.copies_and_renames().await;
        self.many_objects().await;
        self.writers().await;
        self.client.close().await;
        assert_eq!(self.client.budget().used(), 0);
    }

    async fn whole_objects_and_ranges(&self) {
        let (client, uri) = (&self.client, self.at("ranges"));
        for size in [0usize, 1, 4095, 4096, 4097, 300_001, 9 << 20] {
            let content = data::bytes(size as u64 + 1, size);
            self.put("ranges", content.clone()).await;
            data::assert_same(&client.get(&uri).await.unwrap(), &content, "whole");
            let streamed: Vec<Bytes> = client.get_stream(&uri).await.unwrap().try_collect().await.unwrap();
            data::assert_same(&streamed.concat(), &content, "streamed");
            let info = client.stat(&uri).await.unwrap();
            assert_eq!(info.size, size as u64);
        }
        let content = data::bytes((9 << 20) + 1, 9 << 20);
        for range in [0..1, 4095..4097, 5_000_000..9_000_001, (9 << 20) - 1..10 << 20] {
            let end = range.end.min(9 << 20) as usize;
            let read = client.get_range(&uri, range.clone()).await.unwrap();
            data::assert_same(&read, &content[range.start as usize..end], "range");
        }
        assert_eq!(client.get_from(&uri, (9 << 20) - 3).await.unwrap(), content[content.len() - 3..]);
        let read = client.get_ranges(&uri, &[7..9, 8_000_000..8_000_010]).await.unwrap();
        assert_eq!(read, [&content[7..9], &content[8_000_000..8_000_010]]);
        assert!(client.get_range(&uri, 20 << 20..21 << 20).await.is_err(), "a range beyond the end");
        let error = client.get_range(&uri, std::ops::Range { start: 5, end: 4 }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        client.delete(&uri).await.unwrap();
        assert!(!client.exists(&uri).await.unwrap());
        let error = client.get(&uri).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains(&uri.file_name().to_owned()), "{error}");
    }

    async fn conditions_and_metadata(&self) {
        let (client, uri) = (&self.client, self.at("conditional"));
        let metadata = BTreeMap::from([("owner".to_owned(), "me".to_owned())]);
        let create = PutOptions {
            mode: PutMode::Create,
            content_type: Some("text/x-test".to_owned()),
            metadata: metadata.clone(),
        };
        let put = client.put_with(&uri, "one", create.clone()).await.unwrap();
        let error = client.put_with(&uri, "two", create).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        let info = client.stat(&uri).await.unwrap();
        assert_eq!((info.content_type.as_deref(), &info.metadata), (Some("text/x-test"), &metadata));

        let update = |e_tag, version| PutOptions { mode: PutMode::Update { e_tag, version }, ..Default::default() };
        client.put_with(&uri, "three", update(put.e_tag.clone(), put.version.clone())).await.unwrap();
        let error = client.put_with(&uri, "four", update(put.e_tag, put.version)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{error}");
        assert_eq!(client.get(&uri).await.unwrap(), "three");
        client.delete(&uri).await.unwrap();
    }

    async fn listings(&self) {
        let odd = format!("l/{}", self.odd);
        for key in ["l/a", "l/b/1", "l/b/2", &odd, "l/é"] {
            self.put(key, key.to_owned()).await;
        }
        let pages: Vec<_> =
            self.client.list(self.at("l/"), ListOptions::default()).unwrap().try_collect().await.unwrap();
        let count = |keys: usize, prefixes: usize| {
            assert_eq!(pages.iter().map(|page| page.objects.len()).sum::<usize>(), keys);
            assert_eq!(pages.iter().map(|page| page.prefixes.len()).sum::<usize>(), prefixes);
        };
        count(3, 1);
        assert_eq!(self.keys().await, ["l/a", "l/b/1", "l/b/2", &odd, "l/é"]);
        let after = ListOptions {
            recursive: true,
            start_after: Some(format!("{}l/b/1", self.listed_base().await)),
            page_size: Some(2),
        };
        let pages: Vec<_> = self.client.list(self.at("l/"), after).unwrap().try_collect().await.unwrap();
        assert_eq!(pages.iter().flat_map(|page| &page.objects).count(), 3);
        for page in pages.iter().flat_map(|page| &page.objects) {
            let uri = self.base.with_key(page.key.clone());
            let resolved = if self.base.scheme() == Scheme::Azure { self.at(&page.key["base/".len()..]) } else { uri };
            let content = self.client.get(resolved).await.unwrap();
            assert!(page.key.ends_with(std::str::from_utf8(&content).unwrap()), "a listed key reads back");
        }
    }

    /// The key of the base as listings say it.
    async fn listed_base(&self) -> String {
        let first = self.client.list_objects(&self.base).unwrap().next().await.unwrap().unwrap().0;
        let key = first.key();
        // From the end: the name of a temporary directory may end in an l.
        key[..key.rfind("l/").unwrap()].to_owned()
    }

    async fn copies_and_renames(&self) {
        let client = &self.client;
        self.put("from", "content").await;
        client.copy(self.at("from"), self.at("sub/copy"), CopyOptions::default()).await.unwrap();
        assert_eq!(client.get(self.at("sub/copy")).await.unwrap(), "content");
        client.rename(self.at("sub/copy"), self.at("moved"), CopyOptions::default()).await.unwrap();
        assert!(!client.exists(self.at("sub/copy")).await.unwrap());
        assert_eq!(client.get(self.at("moved")).await.unwrap(), "content");
        let error = client.copy(self.at("absent"), self.at("x"), CopyOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

        let elsewhere = Location::parse("memory:///elsewhere/").unwrap();
        let copied: Vec<_> = client.copy_tree(self.at("l"), elsewhere.clone(), CopyOptions::default()).collect().await;
        assert!(copied.iter().all(|copied| copied.result.is_ok()), "{copied:?}");
        assert_eq!(copied.len(), 5);
        assert_eq!(client.get(elsewhere.join("b/2")).await.unwrap(), "l/b/2");
        let back: Vec<_> = client.copy_tree(elsewhere, self.at("back"), CopyOptions::default()).collect().await;
        assert!(back.iter().all(|copied| copied.result.is_ok()), "{back:?}");
        assert_eq!(client.get(self.at(&format!("back/{}", self.odd))).await.unwrap(), format!("l/{}", self.odd));
    }

    async fn many_objects(&self) {
        let client = &self.client;
        let items: Vec<_> = (0..50).map(|i| (self.at(&format!("many/{i}")), format!("content {i}").into())).collect();
        let put: Vec<_> = client.put_many(items).collect().await;
        assert!(put.iter().all(|(_, result)| result.is_ok()));
        let mut wanted: Vec<_> = (0..50).map(|i| self.at(&format!("many/{i}"))).collect();
        wanted.push(self.at("many/absent"));
        for (index, result) in client.get_many(wanted).collect::<Vec<_>>().await {
            match index {
                50 => assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound),
                _ => assert_eq!(result.unwrap(), format!("content {index}")),
            }
        }
        let half: Vec<_> = (0..25).map(|i| self.at(&format!("many/{i}"))).collect();
        let deleted: Vec<_> = client.delete_many(stream::iter(half)).collect().await;
        assert!(deleted.iter().all(|deleted| deleted.result.is_ok()), "{deleted:?}");
        assert_eq!(deleted.len(), 25);
        let deleted: Vec<_> = client.delete_tree(self.base.clone()).collect().await;
        assert!(deleted.iter().all(|deleted| deleted.result.is_ok()), "{deleted:?}");
        assert_eq!(self.keys().await, [""; 0]);
    }

    async fn writers(&self) {
        let (client, uri) = (&self.client, self.at("written"));
        for size in [0usize, 10, 8 << 20, (20 << 20) + 5] {
            let content = data::bytes(3, size);
            let mut writer = client.writer(&uri).await.unwrap();
            for piece in content.chunks(1_000_003) {
                writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            assert_eq!(writer.bytes_written(), size as u64);
            writer.finish().await.unwrap();
            data::assert_same(&client.get(&uri).await.unwrap(), &content, "written");
        }
        client.delete(&uri).await.unwrap();
        let mut writer = client.writer(&uri).await.unwrap();
        writer.write(data::bytes(4, 20 << 20)).await.unwrap();
        writer.abort().await.unwrap();
        assert!(!client.exists(&uri).await.unwrap(), "an aborted upload leaves nothing");
    }
}

#[tokio::test]
async fn memory_does_everything() {
    memory().check().await;
}

#[tokio::test]
async fn file_does_everything() {
    file().check().await;
}

#[tokio::test]
async fn direct_does_everything() {
    direct().check().await;
}

#[tokio::test]
async fn s3s_fs_does_everything() {
    s3s().check().await;
}

#[tokio::test]
async fn seaweedfs_does_everything() {
    seaweed().check().await;
}

#[tokio::test]
async fn azurite_does_everything() {
    azurite().check().await;
}

#[tokio::test]
async fn gcs_does_everything() {
    gcs().check().await;
}

#[tokio::test]
async fn http_reads_and_nothing_else() {
    let server = HttpServer::start().unwrap();
    let content = data::bytes(1, 9_000_000);
    server.put("/dir/object", content.clone());
    let client = Client::new(Config::default());
    let uri = format!("{}/dir/object", server.endpoint());
    data::assert_same(&client.get(&uri).await.unwrap(), &content, "whole");
    data::assert_same(&client.get_range(&uri, 5..10).await.unwrap(), &content[5..10], "range");
    assert_eq!(client.stat(&uri).await.unwrap().size, 9_000_000);
    assert!(!client.exists(format!("{}/absent", server.endpoint())).await.unwrap());
    assert_eq!(client.put(&uri, "x").await.unwrap_err().kind(), ErrorKind::Unsupported);
    let listed: Result<Vec<_>, _> = client.list_objects(&uri).unwrap().try_collect().await;
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::Unsupported);
}

/// The bucket operations of Google's JSON API, which the XML front does not speak.
fn fake_gcs() -> Place {
    let environment = Environment::from_iter([
        ("STORAGE_EMULATOR_HOST", FakeGcs::shared().endpoint()),
        ("GOOGLE_CLOUD_PROJECT", "test-project".to_owned()),
    ]);
    place(Config::builder().environment(environment), "gs://unused/", ())
}

#[tokio::test]
async fn buckets_are_made_listed_and_removed() {
    for place in [s3s(), seaweed(), azurite(), fake_gcs()] {
        let client = &place.client;
        let bucket = format!("{}://{}", place.base.scheme(), unique_name("fresh"));
        client.create_bucket(&bucket).await.unwrap();
        let name = bucket.split("://").nth(1).unwrap();
        let root = format!("{}://", place.base.scheme());
        let listed = client.list_buckets(&root).await.unwrap();
        assert!(listed.iter().any(|entry| entry.name == name), "{listed:?}");
        client.delete_bucket(&bucket).await.unwrap();
        let listed = client.list_buckets(&root).await.unwrap();
        assert!(listed.iter().all(|entry| entry.name != name));
        let error = client.delete_bucket(&bucket).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[tokio::test]
async fn a_cancelled_client_does_nothing_more() {
    let place = memory();
    place.put("k", "v").await;
    let token = s3dlio_store::CancellationToken::new();
    let client = place.client.with_cancellation(token.clone());
    assert_eq!(client.get(place.at("k")).await.unwrap(), "v");
    token.cancel();
    token.cancel();
    assert_eq!(client.get(place.at("k")).await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(client.put(place.at("n"), "v").await.unwrap_err().kind(), ErrorKind::Cancelled);
    let listed: Result<Vec<_>, _> = client.list_objects(&place.base).unwrap().try_collect().await;
    assert_eq!(listed.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(place.client.get(place.at("k")).await.unwrap(), "v", "other clients of the same engine go on");
    assert!(!place.client.exists(place.at("n")).await.unwrap());
}

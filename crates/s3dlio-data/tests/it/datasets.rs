//! Data sets from prefixes, lists and manifests, over several backends.

use std::fs;

use s3dlio_data::{DataLoader, Dataset};
use s3dlio_store::{CancellationToken, Client, Config, Environment, ErrorKind};
use s3dlio_testkit::servers::S3sFs;

use crate::support::indices;

fn uris(dataset: &Dataset) -> Vec<String> {
    (0..dataset.len()).map(|index| dataset.location(index).to_string()).collect()
}

#[tokio::test]
async fn a_directory_is_read_in_the_order_of_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("l/b")).unwrap();
    for (name, size) in [("l/b/1", 3), ("l/b-0", 2), ("Z", 0), ("a b", 1)] {
        fs::write(root.join(name), vec![7; size]).unwrap();
    }
    let client = Client::new(Config::default());
    for given in [root.display().to_string(), format!("file://{}/", root.display())] {
        let dataset = Dataset::from_prefix(&client, given).await.unwrap();
        let names: Vec<_> = uris(&dataset)
            .iter()
            .map(|uri| uri.rsplit_once(&format!("{}/", root.display())).unwrap().1.to_owned())
            .collect();
        assert_eq!(names, ["Z", "a b", "l/b-0", "l/b/1"]);
        assert_eq!((dataset.size_hint(3), dataset.total_size()), (Some(3), Some(6)));
    }
    let dataset = Dataset::from_prefix(&client, root.to_str().unwrap()).await.unwrap();
    let loader = DataLoader::builder(&client, &dataset).batch_size(3).build().unwrap();
    assert_eq!(indices(loader.epoch(0)).await, [vec![0, 1, 2], vec![3]]);
}

#[tokio::test]
async fn a_prefix_of_s3_is_listed_once_and_each_object_read_by_one_get() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let environment = Environment::from_iter([
        ("AWS_ACCESS_KEY_ID", server.access_key()),
        ("AWS_SECRET_ACCESS_KEY", server.secret_key()),
    ]);
    let config = Config::builder().environment(environment).set("endpoint_url", server.endpoint());
    let client = Client::new(config.build().unwrap());
    for index in 0..12 {
        client.put(format!("s3://bucket/train/{index:02}"), vec![index; 1000]).await.unwrap();
    }
    client.put("s3://bucket/train-old/x", "not of the set").await.unwrap();
    server.log().clear();
    let dataset = Dataset::from_prefix(&client, "s3://bucket/train/").await.unwrap();
    let loader = DataLoader::builder(&client, &dataset).batch_size(5).build().unwrap();
    assert_eq!(indices(loader.epoch(0)).await.concat(), Vec::from_iter(0..12));
    let log = server.log();
    assert_eq!((log.count_operation("ListObjectsV2"), log.count_operation("GetObject"), log.len()), (1, 12, 13));
}

#[tokio::test]
async fn a_prefix_without_objects_is_an_error_that_says_so() {
    let client = Client::new(Config::default());
    client.put("memory:///set/a", "x").await.unwrap();
    let error = Dataset::from_prefix(&client, "memory:///sett/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with("load memory:///sett/: not found: no object begins with this prefix"));
    let error = Dataset::from_uris(Vec::<String>::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = Dataset::from_prefix(&client, "http://127.0.0.1:1/x/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_listing_is_cancelled_by_the_clients_token() {
    let client = Client::new(Config::default());
    client.put("memory:///set/a", "x").await.unwrap();
    let token = CancellationToken::new();
    token.cancel();
    let error = Dataset::from_prefix(&client.with_cancellation(token), "memory:///set/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_manifest_lies_anywhere_and_names_objects_of_any_store() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    fs::create_dir(root.join("images")).unwrap();
    fs::write(root.join("images/1"), "one").unwrap();
    let client = Client::new(Config::default());
    client.put("memory:///two", "two!").await.unwrap();
    let manifest = root.join("manifest.txt");
    fs::write(&manifest, "# of two stores\nimages/1\t3\nmemory:///two\n").unwrap();
    let dataset = Dataset::from_manifest(&client, manifest.to_str().unwrap()).await.unwrap();
    assert_eq!(uris(&dataset), [format!("file://{}/images/1", root.display()), "memory:///two".to_owned()]);
    let loader = DataLoader::builder(&client, &dataset).build().unwrap();
    let batch = loader.epoch(0).next().await.unwrap().unwrap();
    assert_eq!(batch.samples.iter().map(|sample| sample.data.as_ref()).collect::<Vec<_>>(), [&b"one"[..], b"two!"]);
    assert_eq!(batch.size(), 7);

    client.put("memory:///lists/m", "../two\n\n../tw o\tx\n").await.unwrap();
    let error = Dataset::from_manifest(&client, "memory:///lists/m").await.unwrap_err();
    assert!(error.to_string().starts_with("load memory:///lists/m:3: invalid input"), "{error}");
    let error = Dataset::from_manifest(&client, "memory:///lists/none").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

//! Writes, reads, lists and copies objects. The same calls work for every backend: only the URI changes.

use futures::TryStreamExt;
use s3dlio::{Client, Config, CopyOptions, ErrorKind, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::new(Config::default());

    client.put("memory:///data/a.bin", "0123456789").await?;
    client.copy("memory:///data/a.bin", "memory:///data/b.bin", CopyOptions::default()).await?;
    assert_eq!(client.get_range("memory:///data/b.bin", 2..5).await?, "234");

    let objects: Vec<_> = client.list_objects("memory:///data/")?.try_collect().await?;
    for (location, entry) in &objects {
        println!("{location}  {} bytes", entry.size);
    }
    assert_eq!(objects.len(), 2);

    // An error says by its kind what went wrong, and in words where and why.
    let error = client.get("memory:///data/c.bin").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    println!("{error}");
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}

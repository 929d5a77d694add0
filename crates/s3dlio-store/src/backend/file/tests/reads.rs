//! What is read: ranges, versions, files that change meanwhile, and the memory that it takes.

use super::*;

#[tokio::test]
async fn ranges_of_every_kind_are_streams_of_the_right_bytes() {
    let directory = in_memory();
    let store = on(&directory);
    let content: Bytes = (0..5_000_000_u32).map(|index| (index % 251) as u8).collect();
    store.put(&"large".into(), content.clone().into()).await.unwrap();
    let cases = [
        (None, 0..5_000_000),
        (Some(GetRange::Bounded(0..1)), 0..1),
        (Some(GetRange::Bounded(1_048_575..1_048_577)), 1_048_575..1_048_577),
        (Some(GetRange::Bounded(17..3_000_001)), 17..3_000_001),
        (Some(GetRange::Bounded(4_999_999..9_000_000)), 4_999_999..5_000_000),
        (Some(GetRange::Offset(1_000)), 1_000..5_000_000),
        (Some(GetRange::Suffix(2_500_000)), 2_500_000..5_000_000),
    ];
    for (range, expected) in cases {
        let options = GetOptions { range, ..GetOptions::default() };
        let result = store.get_opts(&"large".into(), options).await.unwrap();
        assert_eq!(result.range, expected);
        assert_eq!(result.meta.size, 5_000_000);
        assert!(matches!(result.payload, GetResultPayload::Stream(_)));
        let expected = content.slice(expected.start as usize..expected.end as usize);
        assert_eq!(result.bytes().await.unwrap(), expected);
    }
    let error = store.get_range(&"large".into(), 5_000_000..5_000_001).await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::RangeNotSatisfiable);
    let head = store.get_opts(&"large".into(), GetOptions::new().with_head(true)).await.unwrap();
    assert_eq!(head.bytes().await.unwrap(), "");
    for ranges in [vec![5..10, 0..1, 4_999_990..5_000_000], vec![0..4_000_000, 1..2, 3_000_000..5_000_000], vec![]] {
        let read = store.get_ranges(&"large".into(), &ranges).await.unwrap();
        let expected: Vec<_> = ranges.iter().map(|r| content.slice(r.start as usize..r.end as usize)).collect();
        assert_eq!(read, expected);
    }
    let open = store.open_for_read(&"large".into()).unwrap();
    let mut buffer = [0; 1000];
    open.read_exact_at(1_234_567, &mut buffer).unwrap();
    assert_eq!(buffer, content[1_234_567..1_235_567]);
    assert_eq!(kind(open.read_exact_at(4_999_999, &mut buffer)), ErrorKind::Changed);
    assert_eq!(Some(open.e_tag()), store.head(&"large".into()).await.unwrap().e_tag);
}

/// Begins to read a file of several blocks, changes it by `change`, and reads on.
async fn read_while(change: impl FnOnce(&fs::File)) -> object_store::Result<Bytes> {
    let directory = in_memory();
    let store = on(&directory);
    store.put(&"key".into(), vec![1; 20 << 20].into()).await.unwrap();
    let result = store.get(&"key".into()).await.unwrap();
    change(&fs::File::options().write(true).open(directory.path().join("key")).unwrap());
    result.bytes().await
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_an_error_that_says_so() {
    for result in [
        read_while(|file| file.write_all_at(b"other", 19 << 20).unwrap()).await,
        read_while(|file| file.set_len(1 << 20).unwrap()).await,
        read_while(|file| file.set_len(30 << 20).unwrap()).await,
    ] {
        let error = result.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Changed);
        assert!(error.to_string().contains("was written to while it was read"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_or_deleted_while_it_is_read_is_read_as_it_was() {
    let directory = in_memory();
    let store = on(&directory);
    store.put(&"key".into(), vec![1; 20 << 20].into()).await.unwrap();
    let (one, other) = (store.get(&"key".into()).await.unwrap(), store.get(&"key".into()).await.unwrap());
    store.put(&"key".into(), "new".into()).await.unwrap();
    assert_eq!(one.bytes().await.unwrap(), vec![1; 20 << 20]);
    store.delete(&"key".into()).await.unwrap();
    assert_eq!(other.bytes().await.unwrap(), vec![1; 20 << 20]);
}

#[tokio::test]
async fn buffers_come_back_and_streams_hold_few() {
    let directory = in_memory();
    let data = Arc::new(Cached::new());
    let store = FileSystemObjectStore::with_data_path(Scheme::File, directory.path().into(), data.clone(), 1).unwrap();
    store.put(&"key".into(), vec![1; 20 << 20].into()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = store.get(&"key".into()).await.unwrap().into_stream();
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(first.as_ptr() as usize % buffer::ALIGNMENT, 0);
        streams.push((stream, first));
    }
    assert_eq!(data.idle_bytes(), 0);
    for (stream, _) in streams {
        assert_eq!(stream.count().await, 19);
    }
    // Four streams with a block each, and one that was read ahead.
    assert!((4 << 20..=5 << 20).contains(&data.idle_bytes()), "{}", data.idle_bytes());
}

#[tokio::test]
async fn versions_are_not_ignored() {
    let directory = in_memory();
    let store = on(&directory);
    store.put(&"key".into(), "x".into()).await.unwrap();
    let options = GetOptions::new().with_version(Some("1"));
    assert_eq!(kind(store.get_opts(&"key".into(), options).await), ErrorKind::Unsupported);
}

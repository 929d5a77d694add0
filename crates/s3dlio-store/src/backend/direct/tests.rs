use std::fs;
use std::os::unix::fs::FileExt;

use futures::StreamExt;
use object_store::{GetOptions, ObjectStoreExt};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use super::queue::Queue;
use super::*;
use crate::backend::file::tests as shared;
use shared::{in_memory, kind, on_disk};

/// Small blocks, so that small objects are many of them.
fn options() -> DirectOptions {
    DirectOptions { block_size: 64 << 10, queue_depth: 4, direct_fallback: false }
}

fn on(directory: &TempDir) -> ConfigurableFileSystemObjectStore {
    ConfigurableFileSystemObjectStore::new(directory.path(), options()).unwrap()
}

fn over(directory: &TempDir, data: Arc<Direct>) -> FileSystemObjectStore {
    FileSystemObjectStore::with_data_path(Scheme::Direct, directory.path().into(), data, 4).unwrap()
}

/// A store on the disk that sends its blocks by threads, as where there is no io_uring.
fn on_threads(directory: &TempDir) -> FileSystemObjectStore {
    over(directory, Arc::new(Direct::new(&options()).with_queue(Queue::Threads)))
}

#[test]
fn io_uring_is_used_exactly_where_the_kernel_allows_it() {
    let allowed = io_uring::IoUring::new(4).is_ok();
    assert_eq!(matches!(Queue::new(4), Queue::Ring(_)), allowed);
}

#[tokio::test]
async fn passes_the_public_suite_on_disk() {
    shared::public_suite(on_disk, on).await;
}

#[tokio::test]
async fn passes_the_public_suite_in_memory() {
    shared::public_suite(in_memory, on).await;
}

#[tokio::test]
async fn passes_the_public_suite_on_threads() {
    shared::public_suite(on_disk, on_threads).await;
}

fn content(size: usize) -> Bytes {
    (0..size).map(|index| (index % 251) as u8 ^ (index >> 12) as u8).collect()
}

const SIZES: [usize; 14] =
    [0, 1, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1];

#[tokio::test]
async fn objects_of_every_size_are_written_and_read_as_through_the_page_cache() {
    for directory in [on_disk(), in_memory()] {
        let cached = FileSystemObjectStore::new(directory.path()).unwrap();
        let stores: [Box<dyn ObjectStore>; 2] = [Box::new(on(&directory)), Box::new(on_threads(&directory))];
        for store in stores {
            for size in SIZES {
                let (key, content) = (Path::from("key"), content(size));
                // In pieces that are aligned to nothing.
                let pieces = content.chunks(10_007).map(|piece| content.slice_ref(piece));
                store.put(&key, pieces.collect()).await.unwrap();
                assert_eq!(fs::read(directory.path().join("key")).unwrap(), content, "{size}");
                assert_eq!(cached.get(&key).await.unwrap().bytes().await.unwrap(), content, "{size}");
                assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), content, "{size}");
                cached.put(&key, content.clone().into()).await.unwrap();
                assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), content, "{size}");
            }
        }
    }
}

#[test]
fn ranges_of_every_kind_are_read_as_through_the_page_cache() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let directory = on_disk();
    let cached = FileSystemObjectStore::new(directory.path()).unwrap();
    let stores: [Box<dyn ObjectStore>; 2] = [Box::new(on(&directory)), Box::new(on_threads(&directory))];
    let direct = on(&directory);
    for size in SIZES {
        runtime.block_on(cached.put(&Path::from(size.to_string()), content(size).into())).unwrap();
    }
    let ranges = (prop::sample::select(&SIZES[1..]), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let near = (0..40_usize, prop::sample::select(vec![0, 512, 4096, 65_536, 131_072]));
    TestRunner::default()
        .run(&(ranges, near), |((size, start, length), (offset, boundary))| {
            let key = Path::from(size.to_string());
            let content = content(size);
            // Anywhere, and close to where blocks meet.
            let anywhere = start.index(size);
            let meeting = (boundary + offset).saturating_sub(20).min(size - 1);
            for start in [anywhere, meeting] {
                let range = start as u64..(start + 1 + length.index(size - start)) as u64;
                let expected = content.slice(start..range.end as usize);
                for store in &stores {
                    let read = runtime.block_on(store.get_range(&key, range.clone())).unwrap();
                    prop_assert_eq!(&read, &expected);
                }
                let mut buffer = vec![0; expected.len()];
                direct.open_for_read(&key).unwrap().read_exact_at(range.start, &mut buffer).unwrap();
                prop_assert_eq!(&buffer, &expected);
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn parts_of_any_size_land_at_their_offsets() {
    for directory in [on_disk(), in_memory()] {
        shared::parts_land_at_their_offsets(&on(&directory)).await;
        shared::parts_land_at_their_offsets(&on_threads(&directory)).await;
    }
}

#[test]
fn a_full_disk_is_out_of_space_and_leaves_nothing() {
    let name = "backend::direct::tests::a_full_disk_is_out_of_space_and_leaves_nothing";
    shared::on_a_mount(name, "-t tmpfs -o size=8m", async |root| {
        let store = ConfigurableFileSystemObjectStore::new(&root, options()).unwrap();
        shared::a_full_disk_is_out_of_space(&root, store).await;
    });
}

#[test]
fn a_refusal_of_o_direct_is_an_error_that_names_the_way_out() {
    let name = "backend::direct::tests::a_refusal_of_o_direct_is_an_error_that_names_the_way_out";
    shared::on_a_mount(name, "-t ramfs", async |root| {
        let (key, content) = (Path::from("deep/key"), content(100_001));
        let store = ConfigurableFileSystemObjectStore::new(&root, options()).unwrap();
        let put = store.put(&key, "x".into()).await.map(drop);
        assert!(shared::files_below(&root).is_empty());
        fs::write(root.join("deep/key"), &content).unwrap();
        for result in [put, store.get(&key).await.map(drop), store.put_multipart(&key).await.map(drop)] {
            let error = result.unwrap_err();
            assert_eq!(ErrorKind::of(&error), ErrorKind::Unsupported);
            assert!(error.to_string().contains("refuses O_DIRECT"), "{error}");
            assert!(error.to_string().contains("direct_fallback = true"), "{error}");
        }
        // A directory, which takes none either, is still no object rather than a refusal.
        assert_eq!(kind(store.get(&"deep".into()).await), ErrorKind::NotFound);

        let options = DirectOptions { direct_fallback: true, ..options() };
        let store = ConfigurableFileSystemObjectStore::new(&root, options).unwrap();
        assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), content);
        let mut buffer = [0; 7];
        store.open_for_read(&key).unwrap().read_exact_at(1, &mut buffer).unwrap();
        assert_eq!(buffer, content[1..8]);
        store.put(&key, "new".into()).await.unwrap();
        assert_eq!(fs::read(root.join("deep/key")).unwrap(), b"new");
        shared::parts_land_at_their_offsets(&store).await;
    });
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    for threads in [false, true] {
        let directory = on_disk();
        let store: Box<dyn ObjectStore> = match threads {
            true => Box::new(on_threads(&directory)),
            false => Box::new(on(&directory)),
        };
        let key = Path::from("key");
        for left in [0, 1, 500_000, 524_288] {
            store.put(&key, content(1 << 20).into()).await.unwrap();
            let result = store.get(&key).await.unwrap();
            fs::File::options().write(true).open(directory.path().join("key")).unwrap().set_len(left).unwrap();
            assert_eq!(kind(result.bytes().await), ErrorKind::Changed);
        }
        store.put(&key, content(1 << 20).into()).await.unwrap();
        let result = store.get(&key).await.unwrap();
        let file = fs::File::options().write(true).open(directory.path().join("key")).unwrap();
        file.write_all_at(b"other", 999_999).unwrap();
        assert_eq!(kind(result.bytes().await), ErrorKind::Changed);
    }
}

#[tokio::test]
async fn many_streams_and_ranges_at_once_share_the_queue() {
    let directory = on_disk();
    let store = on(&directory);
    let content = content(3_000_001);
    let key = Path::from("key");
    store.put(&key, content.clone().into()).await.unwrap();
    let e_tag = store.head(&key).await.unwrap().e_tag;
    let ranges = (0..64_u64).map(|index| index * 46_875..(index + 1) * 46_875 + 100_000);
    let reads = ranges.map(|range| {
        let options = GetOptions::new().with_range(Some(range.clone())).with_if_match(e_tag.clone());
        let (store, key, content) = (&store, &key, &content);
        async move {
            let read = store.get_opts(key, options).await.unwrap().bytes().await.unwrap();
            assert_eq!(read, content.slice(range.start as usize..content.len().min(range.end as usize)));
        }
    });
    futures::future::join_all(reads).await;
}

#[tokio::test]
async fn dropped_streams_stop_and_their_blocks_come_back() {
    let directory = on_disk();
    let data = Arc::new(Direct::new(&options()));
    let store = over(&directory, data.clone());
    let key = Path::from("key");
    store.put(&key, content(4 << 20).into()).await.unwrap();
    for taken in 0..5 {
        let mut stream = store.get(&key).await.unwrap().into_stream();
        for _ in 0..taken {
            let block = stream.next().await.unwrap().unwrap();
            assert_eq!(block.as_ptr() as usize % ALIGNMENT, 0);
        }
        drop(stream);
    }
    // The same with its future dropped before the first block is there.
    let mut stream = store.get(&key).await.unwrap().into_stream();
    assert!(futures::poll!(stream.next()).is_pending());
    drop(stream);
    // The ring ends what is in flight before it is gone.
    drop(store);
    let held = Arc::try_unwrap(data).expect("no stream keeps the queue");
    let pool = held.into_pool();
    assert!(pool.idle_bytes() > 0);
    assert_eq!(Arc::strong_count(&pool), 1, "no block is left");
}

#[tokio::test]
async fn requests_in_flight_end_before_the_ring_is_gone() {
    let directory = on_disk();
    let data = Arc::new(Direct::new(&options()));
    let store = over(&directory, data.clone());
    let key = Path::from("key");
    store.put(&key, content(4 << 20).into()).await.unwrap();
    let mut stream = store.get(&key).await.unwrap().into_stream();
    assert!(futures::poll!(stream.next()).is_pending());
    drop((store, data));
    // The stream keeps the queue, and goes on.
    assert_eq!(stream.count().await, 64);
}

#[test]
fn options_out_of_bounds_are_refused_by_name() {
    let default = DirectOptions::default();
    for (options, name) in [
        (DirectOptions { block_size: 0, ..default.clone() }, "block_size = 0"),
        (DirectOptions { block_size: 5000, ..default.clone() }, "block_size = 5000"),
        (DirectOptions { queue_depth: 0, ..default.clone() }, "queue_depth = 0"),
        (DirectOptions { queue_depth: 50_000, ..default.clone() }, "queue_depth = 50000"),
    ] {
        let error = ConfigurableFileSystemObjectStore::new("/tmp", options).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{error}");
    }
}

//! The conformance contracts against every server, with the deviations that each is known for.

use std::sync::Arc;

use object_store::memory::InMemory;
use s3dlio_testkit::contracts::{Deviation, run_all};
use s3dlio_testkit::counting::CountingStore;
use s3dlio_testkit::gcs_front::GcsFront;
use s3dlio_testkit::servers::S3sFs;

use crate::servers::{azurite, gcs, s3s_fs, seaweedfs};

#[tokio::test]
async fn memory_keeps_every_contract() {
    run_all(Arc::new(InMemory::new()), &[]).await;
}

#[tokio::test]
async fn a_counting_store_changes_nothing() {
    run_all(Arc::new(CountingStore::new(InMemory::new())), &[]).await;
}

#[tokio::test]
async fn the_gcs_front_keeps_every_contract() {
    let server = GcsFront::start_with_bucket("bucket").unwrap();
    run_all(Arc::new(gcs(&server.endpoint(), "bucket", server.token())), &[]).await;
}

#[tokio::test]
async fn s3s_fs_deviates_as_declared() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let deviations = [
        Deviation::GetConditionsIgnored,
        Deviation::ReadOfPrefixIsAnotherError,
        Deviation::LongSuffixRefused,
        Deviation::CreateIsNotAtomic,
        Deviation::NoObjectAboveObjects,
        Deviation::LongKeysRefused,
    ];
    run_all(s3s_fs(&server, "bucket"), &deviations).await;
}

#[tokio::test]
async fn seaweedfs_deviates_as_declared() {
    run_all(seaweedfs(), &[Deviation::ListingNotInByteOrder]).await;
}

#[tokio::test]
async fn azurite_deviates_as_declared() {
    run_all(azurite(), &[Deviation::NoSuffixRange]).await;
}

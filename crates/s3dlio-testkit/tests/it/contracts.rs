//! The conformance contracts against every server, with the deviations that each is known for.

use std::sync::Arc;

use object_store::memory::InMemory;
use s3dlio_testkit::contracts::{Deviation, run_all, run_some};
use s3dlio_testkit::counting::{Call, CountingStore, Fault};
use s3dlio_testkit::gcs_front::GcsFront;
use s3dlio_testkit::servers::{FakeGcs, S3sFs};

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
#[should_panic(expected = "contract objects::bounded_ranges: range 0..1: 0 bytes where 1 were expected")]
async fn a_broken_contract_is_named() {
    let store = CountingStore::new(InMemory::new());
    store.inject(Fault::on(Call::Get).truncate_body(0));
    run_some(Arc::new(store), &[], |name| name == "objects::bounded_ranges").await;
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

#[tokio::test]
async fn fake_gcs_server_keeps_the_contracts_about_reading() {
    let server = FakeGcs::shared();
    let bucket = server.new_bucket();
    let store = server.with_json_writes(&bucket, Arc::new(gcs(&server.endpoint(), &bucket, "any")));
    let deviations = [Deviation::GetConditionsIgnored, Deviation::ListingOffsetIgnored];
    let reading = ["objects::", "listing::", "keys::", "conditions::get_"];
    run_some(store, &deviations, |name| reading.iter().any(|module| name.starts_with(module))).await;
}

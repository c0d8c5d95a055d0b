//! What clients say of the files that they stage.

use std::fs;

use crate::driver::{Driver, digest};
use datacache_daemon::store::{Command, StoreError};
use datacache_proto::error::StagedFault;

/// The bytes of a verified blob stand for those of whoever names it, so a length that is not its own gives the claim away.
#[test]
fn a_file_that_can_not_be_the_verified_blob_it_claims_to_be_is_refused() {
    let mut driver = Driver::new();
    let value = driver.stage(b"value");
    driver.put("k", value);
    driver.write(vec![Command::Verified { digest: digest(b"value") }]).unwrap();
    driver.checkpoint();

    let blobs = driver.store().blobs();
    fs::write(blobs.staging().join("lie"), b"another length").unwrap();
    let error = blobs.receive("lie", 14, digest(b"value"), false).unwrap_err();
    assert!(matches!(error, StoreError::Staged { fault: StagedFault::Content, .. }), "{error}");
    fs::write(blobs.staging().join("truth"), b"value").unwrap();
    assert!(blobs.receive("truth", 5, digest(b"value"), false).is_ok());
}

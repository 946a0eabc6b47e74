//! The store over real servers, and over one that answers as told.

use backstay_repo::store::Store;
use backstay_testkit::servers;

use crate::store::check;

#[test]
fn an_s3_server_does_all_that_a_store_must() {
    let bucket = servers::s3();
    check(&Store::open(&bucket.location, &bucket.options).unwrap());
}

#[test]
fn an_azure_server_does_all_that_a_store_must() {
    let bucket = servers::azure();
    check(&Store::open(&bucket.location, &bucket.options).unwrap());
}

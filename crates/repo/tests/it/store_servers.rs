//! The store over real servers, and over one that answers as told.

use std::sync::Arc;
use std::time::Duration;

use backstay_repo::store::{Clock, Created, ErrorKind, Location, Store, StoreError, StoreOptions};
use backstay_testkit::clock::SimulatedClock;
use backstay_testkit::servers::{self, Answer, Bucket, CannedServer};
use bytes::Bytes;

use crate::store::{chain, check};

const BODY: Bytes = Bytes::from_static(b"a body with a nonce");

fn open(bucket: &Bucket) -> Store {
    Store::open(&bucket.location, &bucket.options).unwrap()
}

/// A store at a server that answers as told, with waits that take no time.
fn canned(location: &str, server: &CannedServer) -> (Store, SimulatedClock) {
    let clock = SimulatedClock::new();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
        (
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#,
        ),
    ];
    let options = StoreOptions {
        environment: variables.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        endpoint: Some(server.address()),
        ..StoreOptions::default()
    };
    let location = location.parse().unwrap();
    let store = Store::open_with_clock(&location, &options, Arc::new(clock.clone())).unwrap();
    (store, clock)
}

fn reply(status: u16) -> Answer {
    Answer::Reply(status, vec![("etag", "\"e\"".to_owned())], Vec::new())
}

#[test]
fn an_s3_server_does_all_that_a_store_must() {
    check(&open(&servers::s3()));
}

#[test]
fn an_azure_server_does_all_that_a_store_must() {
    check(&open(&servers::azure()));
}

/// Object lock implies versions: what S3 deletes then is the newest version's visibility, never the bytes.
#[test]
fn a_bucket_with_retention_takes_everything_and_keeps_what_is_deleted() {
    let bucket = servers::s3_with_retention();
    let store = open(&bucket);
    store.put("packs/1", BODY).unwrap();
    store.put("packs/1", BODY).unwrap();
    assert_eq!(store.create("log/1", BODY).unwrap(), Created::New);
    assert_eq!(store.create("log/1", "another".into()).unwrap(), Created::Exists);
    store.delete("packs/1").unwrap();
    assert_eq!(store.get("packs/1").unwrap_err().kind(), ErrorKind::NotFound);

    let (status, versions) = servers::s3_request(&bucket, "GET", "", &[("versions", "")]);
    assert_eq!(status, 200, "{versions}");
    assert!(versions.contains("<DeleteMarker>"), "{versions}");
    let version = versions.split("<Version>").skip(1).find(|text| text.contains("packs/1</Key>")).unwrap();
    let id = version.split_once("<VersionId>").and_then(|(_, rest)| rest.split_once("</VersionId>")).unwrap().0;
    let (status, answer) = servers::s3_request(&bucket, "GET", "packs/1", &[("versionId", id)]);
    assert_eq!(status, 200);
    assert!(answer.ends_with("a body with a nonce"), "{answer}");
    let (status, answer) = servers::s3_request(&bucket, "DELETE", "packs/1", &[("versionId", id)]);
    assert_eq!(status, 403, "{answer}");
}

#[test]
fn wrong_credentials_are_denied_without_being_shown() {
    let mut bucket = servers::s3();
    bucket.options.environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "hunter2".to_owned());
    let mut container = servers::azure_with_signature();
    let token = container.options.environment.get_mut("AZURE_STORAGE_SAS_TOKEN").unwrap();
    *token = token.replace("sig=6Px4", "sig=hunter2");
    for bucket in [bucket, container] {
        let store = open(&bucket);
        let errors: [StoreError; 7] = [
            store.get("config").unwrap_err(),
            store.put("packs/1", BODY).unwrap_err(),
            store.create("log/1", BODY).unwrap_err(),
            store.overwrite("writers/1", BODY).unwrap_err(),
            store.head("config").unwrap_err(),
            store.list("packs").unwrap_err(),
            store.delete("packs/1").unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Denied, "{}", chain(&error));
            assert!(chain(&error).contains("the server answered 403"), "{}", chain(&error));
            for shown in [chain(&error), format!("{error:?}"), format!("{store:?}"), format!("{:?}", bucket.options)] {
                assert!(!shown.contains("hunter2") && !shown.contains("sig="), "{shown}");
            }
        }
    }
}

#[test]
fn a_bucket_that_does_not_exist_is_not_found_and_not_an_empty_one() {
    for bucket in [servers::s3(), servers::azure()] {
        let location = match bucket.location {
            Location::S3 { prefix, .. } => Location::S3 { bucket: "missing-bucket".to_owned(), prefix },
            Location::Azure { account, prefix, .. } => {
                Location::Azure { account, container: "missing-container".to_owned(), prefix }
            }
            other => other,
        };
        let store = open(&Bucket { location, options: bucket.options });
        for error in [
            store.list("").unwrap_err(),
            store.get("config").unwrap_err(),
            store.put("packs/1", BODY).unwrap_err(),
            store.delete("packs/1").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));
            assert!(error.to_string().contains("missing-"), "{error}");
        }
    }
}

#[test]
fn a_listing_of_many_pages_is_whole() {
    let store = open(&servers::s3());
    let handles: Vec<_> = (0..2100).map(|n| store.start_put(format!("packs/{n:04}"), BODY)).collect();
    for handle in handles {
        handle.wait().unwrap();
    }
    let listed = store.list("packs").unwrap();
    assert_eq!(listed.len(), 2100);
    assert!(listed.iter().enumerate().all(|(n, object)| object.name == format!("packs/{n:04}")));
    assert_eq!(store.list_after("packs", "packs/2000").unwrap().len(), 99);
}

#[test]
fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks() {
    let overloaded = |status| Answer::Reply(status, vec![("retry-after", "7".to_owned())], Vec::new());
    let server = CannedServer::start([overloaded(503), overloaded(429), reply(500), reply(200)]);
    let (store, clock) = canned("s3://bucket", &server);
    store.put("packs/1", BODY).unwrap();
    let slept = clock.slept();
    assert_eq!(slept[..2], [Duration::from_secs(7); 2], "{slept:?}");
    assert!(slept[2] < Duration::from_secs(1), "{slept:?}");
    assert_eq!(server.requests().len(), 4);
    assert_eq!(store.usage().retries, 3);
}

#[test]
fn a_dead_server_is_named_with_the_object() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hung_up = CannedServer::start([Answer::HangUp]);
    for address in [format!("http://127.0.0.1:{port}"), hung_up.address()] {
        let options = StoreOptions { endpoint: Some(address), ..servers::s3().options };
        let location = "s3://bucket/prefix".parse().unwrap();
        let clock = Arc::new(SimulatedClock::new());
        let store = Store::open_with_clock(&location, &options, clock.clone()).unwrap();
        let error = store.get("config").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry);
        let text = chain(&error);
        assert!(text.starts_with("cannot read config in s3://bucket/prefix ("), "{text}");
        assert!(text.contains("no usable answer from 127.0.0.1: "), "{text}");
        assert!(clock.now() <= Duration::from_secs(20), "{:?}", clock.now());
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let server = CannedServer::start([Answer::Silence]);
    let (store, clock) = canned("s3://bucket", &server);
    clock.strike_limits();
    let error = store.get("config").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(chain(&error).ends_with("no answer within 30 s"), "{}", chain(&error));
    assert!(clock.now() >= Duration::from_mins(1) && clock.now() < Duration::from_secs(62), "{:?}", clock.now());
}

#[test]
fn a_lost_reply_of_a_server_is_told_apart_by_reading() {
    let server = CannedServer::start([Answer::HangUp, reply(412), reply_object(&BODY)]);
    let (store, _) = canned("s3://bucket", &server);
    assert_eq!(store.create("log/1", BODY).unwrap(), Created::New);

    let server = CannedServer::start([reply(409), reply(404), reply(200)]);
    let (store, _) = canned("s3://bucket", &server);
    assert_eq!(store.create("log/1", BODY).unwrap(), Created::New, "refused, absent, and then done");
    let methods: Vec<_> = server.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["PUT", "GET", "PUT"]);
}

fn reply_object(body: &Bytes) -> Answer {
    let modified = ("last-modified", "Wed, 21 Oct 2026 07:28:00 GMT".to_owned());
    Answer::Reply(200, vec![modified, ("etag", "\"e\"".to_owned())], body.to_vec())
}

#[test]
fn uploads_to_s3_carry_a_checksum_and_the_condition() {
    let server = CannedServer::start([reply(200)]);
    let (store, _) = canned("s3://bucket/prefix", &server);
    store.put("packs/1", "hello".into()).unwrap();
    store.create("log/1", "hello".into()).unwrap();
    store.overwrite("writers/1", "hello".into()).unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].target, "/bucket/prefix/packs/1");
    for (request, condition) in requests.iter().zip([Some("*"), Some("*"), None]) {
        // SHA-256 of "hello".
        let checksum = request.header("x-amz-checksum-sha256");
        assert_eq!(checksum, Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="), "{request:?}");
        assert_eq!(request.header("if-none-match"), condition, "{request:?}");
    }
}

#[test]
fn a_google_bucket_is_asked_to_create_conditionally() {
    let server = CannedServer::start([reply(200)]);
    let (store, _) = canned("gs://bucket/prefix", &server);
    store.create("log/1", BODY).unwrap();
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("PUT", "/bucket/prefix%2Flog%2F1"));
    assert_eq!(requests[0].header("x-goog-if-generation-match"), Some("0"));
    assert_eq!(requests[0].header("content-md5"), Some("nqfVTDccpOVH8qFr5n2n4g=="));
    assert_eq!(requests[0].body, BODY);
}

#[test]
fn an_upload_that_azure_received_damaged_is_sent_again() {
    let answer = |md5: &str| {
        let headers = vec![("etag", "\"e\"".to_owned()), ("content-md5", md5.to_owned())];
        Answer::Reply(201, headers, Vec::new())
    };
    // The MD5 of nothing, and of the body.
    let server = CannedServer::start([answer("1B2M2Y8AsgTpgAmY7PhCfg=="), answer("nqfVTDccpOVH8qFr5n2n4g==")]);
    let (store, _) = canned("az://container", &server);
    store.overwrite("writers/1", BODY).unwrap();
    assert_eq!((server.requests().len(), store.usage().retries), (2, 1));
}

#[test]
fn an_endpoint_must_be_safe_and_hold_no_secret() {
    let location: Location = "s3://bucket".parse().unwrap();
    let refused = |endpoint: &str| {
        let options = StoreOptions { endpoint: Some(endpoint.to_owned()), ..servers::s3().options };
        Store::open(&location, &options).unwrap_err()
    };
    for endpoint in
        ["http://minio.example.com", "https://key:hunter2@host", "https://host/?sig=hunter2", "host", "ftp://host"]
    {
        let error = refused(endpoint);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{endpoint}");
        assert!(!chain(&error).contains("hunter2"), "{}", chain(&error));
    }
    for endpoint in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://minio.example.com"] {
        let options = StoreOptions { endpoint: Some(endpoint.to_owned()), ..servers::s3().options };
        assert!(Store::open(&location, &options).is_ok(), "{endpoint}");
    }
    let plain = StoreOptions {
        endpoint: Some("http://minio.example.com".to_owned()),
        allow_http: true,
        ..servers::s3().options
    };
    assert!(Store::open(&location, &plain).is_ok());
}

#[test]
fn settings_that_cannot_work_are_named_when_a_bucket_is_opened() {
    let error = Store::open(&"az://container".parse().unwrap(), &StoreOptions::default()).unwrap_err();
    assert_eq!(chain(&error), "cannot open az://container: Account must be specified");

    let options = StoreOptions { ca_file: Some("/none/ca.pem".into()), ..StoreOptions::default() };
    let error = Store::open(&"s3://bucket".parse().unwrap(), &options).unwrap_err();
    assert!(
        chain(&error).starts_with("cannot open s3://bucket: cannot read the CA file /none/ca.pem: "),
        "{}",
        chain(&error)
    );
}

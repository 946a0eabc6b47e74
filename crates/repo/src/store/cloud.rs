//! Clients for the clouds, built from a location and options.
//!
//! S3 and Azure are tested against real servers of the test run (versitygw, azurite). Google Cloud Storage is not:
//! the public emulator speaks another of its interfaces than this client uses, so only the building of the client is
//! tested, and what it does afterwards is the library's word.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use super::answer::{NotingConnector, UploadChecksum};
use super::error::{ErrorKind, Failure};
use super::location::Location;
use super::options::StoreOptions;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A client for a bucket, seeing only what lies below the location's prefix.
pub(super) fn connect(location: &Location, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, Failure> {
    match location {
        Location::Directory(_) => Err(Failure::new(ErrorKind::Invalid, "a directory needs no client")),
        Location::S3 { bucket, prefix } => below(prefix, s3(bucket, options)?),
        Location::Gcs { bucket, prefix } => below(prefix, gcs(bucket, options)?),
        Location::Azure { account, container, prefix } => below(prefix, azure(account.as_deref(), container, options)?),
    }
}

fn below(prefix: &str, store: impl ObjectStore) -> Result<Arc<dyn ObjectStore>, Failure> {
    if prefix.is_empty() {
        return Ok(Arc::new(store));
    }
    let prefix = Path::parse(prefix)
        .map_err(|error| Failure::new(ErrorKind::Invalid, format!("the prefix cannot be used: {error}")))?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

fn s3(bucket: &str, options: &StoreOptions) -> Result<impl ObjectStore, Failure> {
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client(options)?)
        // The certificates of Amazon do not cover a bucket name with dots in a host name.
        .with_virtual_hosted_style_request(!bucket.contains('.'));
    for (key, value) in variables(options, "aws_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let named = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let endpoint = options.endpoint.as_ref().or_else(|| named.iter().find_map(|name| options.environment.get(*name)));
    if let Some(endpoint) = endpoint {
        let url = checked_endpoint(endpoint, options)?;
        let path_style = options.path_style.unwrap_or(true);
        let address = if path_style { endpoint.clone() } else { with_bucket_in_host(&url, bucket)? };
        let config = "aws_endpoint_url_s3".parse().map_err(|error| invalid(&error))?;
        builder = builder
            .with_endpoint(address.clone())
            .with_config(config, address)
            .with_virtual_hosted_style_request(!path_style);
    } else if options.path_style == Some(true) {
        builder = builder.with_virtual_hosted_style_request(false);
    }
    if !options.create_if_absent {
        builder = builder.with_conditional_put(S3ConditionalPut::Disabled);
    }
    builder
        .with_bucket_name(bucket)
        .with_checksum_algorithm(Checksum::SHA256)
        // One object a request: the bulk request is missing in many compatible stores, and its answer hides refusals.
        .with_disable_bulk_delete(true)
        .with_retry(no_repetitions())
        .with_http_connector(NotingConnector { checksum: UploadChecksum::ByLibrary })
        .build()
        .map_err(|error| invalid(&error))
}

fn gcs(bucket: &str, options: &StoreOptions) -> Result<impl ObjectStore, Failure> {
    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client(options)?);
    for (key, value) in variables(options, "google_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(path) = options.environment.get("SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(path);
    }
    if let Some(endpoint) = &options.endpoint {
        checked_endpoint(endpoint, options)?;
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    builder
        .with_bucket_name(bucket)
        .with_retry(no_repetitions())
        .with_http_connector(NotingConnector { checksum: UploadChecksum::Md5InRequest })
        .build()
        .map_err(|error| invalid(&error))
}

fn azure(account: Option<&str>, container: &str, options: &StoreOptions) -> Result<impl ObjectStore, Failure> {
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(client(options)?);
    for (key, value) in variables(options, "azure_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = options.environment.get("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    if let Some(account) = account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &options.endpoint {
        checked_endpoint(endpoint, options)?;
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    builder
        .with_container_name(container)
        .with_retry(no_repetitions())
        .with_http_connector(NotingConnector { checksum: UploadChecksum::Md5InAnswer })
        .build()
        .map_err(|error| invalid(&error))
}

fn variables<'a>(options: &'a StoreOptions, prefix: &'a str) -> impl Iterator<Item = (String, &'a String)> {
    options
        .environment
        .iter()
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .filter(move |(key, _)| key.starts_with(prefix))
}

fn client(options: &StoreOptions) -> Result<ClientOptions, Failure> {
    let loopback = options.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
    let plain_http = options.allow_http || loopback.is_some_and(|url| is_loopback(&url));
    let mut client = ClientOptions::new()
        // Every attempt has a limit of its own, from its size.
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_LIMIT)
        .with_allow_http(plain_http);
    let bundle = options.environment.get("AWS_CA_BUNDLE").map(Into::into);
    if let Some(path) = options.ca_file.clone().or(bundle) {
        let pem = std::fs::read(&path)
            .map_err(|error| Failure::io(&format!("cannot read the CA file {}", path.display()), error))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|_| Failure::new(ErrorKind::Invalid, format!("{} holds no certificate", path.display())))?;
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

fn no_repetitions() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

fn checked_endpoint(endpoint: &str, options: &StoreOptions) -> Result<Url, Failure> {
    let wrong = |text: &str| Err(Failure::new(ErrorKind::Invalid, text));
    let Ok(url) = Url::parse(endpoint) else {
        return wrong("the endpoint is no web address such as https://s3.example.com");
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return wrong("the endpoint must not hold credentials; set them in the environment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if options.allow_http || is_loopback(&url) => Ok(url),
        "http" => wrong(
            "the endpoint is plain http, which shows everything but contents to the network; allow it expressly or use https",
        ),
        _ => wrong("the endpoint must begin with https://"),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn with_bucket_in_host(url: &Url, bucket: &str) -> Result<String, Failure> {
    let host = url.host_str().unwrap_or_default();
    let mut address = url.clone();
    address.set_host(Some(&format!("{bucket}.{host}"))).map_err(|_| {
        Failure::new(ErrorKind::Invalid, "the bucket's name cannot be part of a host name; use path style")
    })?;
    Ok(address.as_str().trim_end_matches('/').to_owned())
}

/// Building a client fails for missing or malformed settings. The library's texts name the setting, not its value.
fn invalid(error: &object_store::Error) -> Failure {
    let text = match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    Failure::new(ErrorKind::Invalid, text)
}

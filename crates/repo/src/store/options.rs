//! How a location is reached: what the command line and the environment say about servers, limits and credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings for [`Store::open`](super::Store::open).
///
/// Credentials come from `environment` only: the variables that the clouds' own tools read (`AWS_…`, `GOOGLE_…`,
/// `AZURE_…`). This crate does not read the process's environment, so that a program can open two repositories with
/// different credentials.
#[derive(Clone)]
pub struct StoreOptions {
    pub environment: BTreeMap<String, String>,
    /// The server's address, for stores that are compatible with a cloud's. Plain `http://` is accepted for this
    /// machine, and otherwise only with `allow_http`.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// Certificates (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// S3: is the bucket named in the path (`true`) or in the host name (`false`)? Not said: in the path with an
    /// endpoint of one's own, in the host name with Amazon.
    pub path_style: Option<bool>,
    pub allow_http: bool,
    /// False for a store that was found to ignore or to lack create-if-absent, see
    /// [`Store::probe`](super::Store::probe): objects are then written unconditionally.
    pub create_if_absent: bool,
    pub limit_upload_bytes_per_second: Option<u64>,
    pub limit_download_bytes_per_second: Option<u64>,
    /// Requests in flight at once.
    pub max_connections: usize,
    /// How long a request is repeated while the store is unreachable or overloaded, besides the time one attempt may
    /// take.
    pub give_up_after: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            environment: BTreeMap::new(),
            endpoint: None,
            region: None,
            ca_file: None,
            path_style: None,
            allow_http: false,
            create_if_absent: true,
            limit_upload_bytes_per_second: None,
            limit_download_bytes_per_second: None,
            max_connections: 8,
            give_up_after: Duration::from_mins(5),
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            environment,
            endpoint,
            region,
            ca_file,
            path_style,
            allow_http,
            create_if_absent,
            limit_upload_bytes_per_second,
            limit_download_bytes_per_second,
            max_connections,
            give_up_after,
        } = self;
        // Values of the environment are secrets, and an address may hold one.
        f.debug_struct("StoreOptions")
            .field("environment", &environment.keys())
            .field("endpoint", &endpoint.is_some())
            .field("region", region)
            .field("ca_file", ca_file)
            .field("path_style", path_style)
            .field("allow_http", allow_http)
            .field("create_if_absent", create_if_absent)
            .field("limit_upload_bytes_per_second", limit_upload_bytes_per_second)
            .field("limit_download_bytes_per_second", limit_download_bytes_per_second)
            .field("max_connections", max_connections)
            .field("give_up_after", give_up_after)
            .finish()
    }
}

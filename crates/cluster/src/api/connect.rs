//! Which cluster, and with which credentials: a kubeconfig that is named, `KUBECONFIG`, `~/.kube/config`, or the service account of
//! the pod this runs in, in this order, as kubectl does it.
//!
//! Texts of errors never quote a kubeconfig or what a credentials' helper printed: both hold credentials.

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Config;
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::error::ApiError;
use super::request::Transport;

/// A server that cannot even be connected to for so long is tried again.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);
/// The context's name where there is no kubeconfig.
const IN_CLUSTER: &str = "in-cluster";

#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Instead of the usual places.
    pub kubeconfig: Option<PathBuf>,
    /// Instead of the kubeconfig's current one.
    pub context: Option<String>,
    /// For one request with all its retries.
    pub deadline: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { kubeconfig: None, context: None, deadline: Duration::from_mins(2) }
    }
}

/// The way to the server, and the context's name.
pub(super) async fn connect(options: &ConnectOptions) -> Result<(Transport, String), ApiError> {
    let files = files(options)?;
    let (mut config, origin, context) = if files.is_empty() {
        in_cluster(options)?
    } else {
        let (kubeconfig, origin) = read(&files)?;
        let context = choose_context(&kubeconfig, options.context.as_deref(), &origin)?;
        let has_own_proxy = has_own_proxy(&kubeconfig, &context);
        let choice = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &choice).await;
        let mut config = config.map_err(|error| unusable(&error, &origin))?;
        // The library asks whether the proxy itself is in NO_PROXY, where the server is meant.
        let is_direct = config.cluster_url.scheme_str() != Some("https")
            || is_without_proxy(config.cluster_url.host().unwrap_or_default(), &no_proxy());
        if is_direct && !has_own_proxy {
            config.proxy_url = None;
        }
        (config, origin, context)
    };
    config.default_retry = false;
    config.connect_timeout = Some(LONGEST_CONNECT.min(options.deadline / 3));
    // On the way through a machine or a cluster, compressing costs more than it saves.
    config.disable_compression |= context == IN_CLUSTER || is_loopback(config.cluster_url.host().unwrap_or_default());
    let address = address(&config.cluster_url);
    let client = kube::Client::try_from(config).map_err(|error| {
        let detail = if let kube::Error::Auth(error) = &error {
            credentials_failure(error, &origin)
        } else {
            format!("{origin} cannot be used: {error}")
        };
        ApiError::Config { detail }
    })?;
    Ok((Transport::new(client, address, origin, options.deadline), context))
}

/// Why there are no credentials.
pub(super) fn credentials_failure(error: &AuthError, origin: &str) -> String {
    let detail = match error {
        AuthError::AuthExecRun { out, .. } => {
            // One that may ask questions has told them to the terminal already.
            let words = String::from_utf8_lossy(&out.stderr);
            let words = words.lines().map(str::trim).rfind(|line| !line.is_empty());
            let words = words.map(|words| format!(": {words}")).unwrap_or_default();
            format!("the program for credentials failed ({}){words}", out.status)
        }
        AuthError::AuthExecParse(_) => "the program for credentials printed something else".to_owned(),
        other => other.to_string(),
    };
    format!("no credentials for the API server ({origin}): {detail}")
}

/// The kubeconfigs to read; none where a pod's service account is to be used.
fn files(options: &ConnectOptions) -> Result<Vec<PathBuf>, ApiError> {
    if let Some(path) = &options.kubeconfig {
        return Ok(vec![path.clone()]);
    }
    let named: Vec<PathBuf> = env::var_os("KUBECONFIG").iter().flat_map(env::split_paths).collect();
    let named: Vec<PathBuf> = named.into_iter().filter(|path| !path.as_os_str().is_empty()).collect();
    if !named.is_empty() {
        // As kubectl does it: files that are not there count only if all are not there.
        let there: Vec<PathBuf> = named.iter().filter(|path| path.exists()).cloned().collect();
        return Ok(if there.is_empty() { named } else { there });
    }
    let usual = env::home_dir().map(|home| home.join(".kube").join("config"));
    if let Some(usual) = usual.filter(|path| path.exists()) {
        return Ok(vec![usual]);
    }
    if env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Ok(Vec::new());
    }
    let detail = "there is no kubeconfig: KUBECONFIG is not set, ~/.kube/config is not there, and this is not a pod; \
                  name one with --kubeconfig";
    Err(ApiError::Config { detail: detail.to_owned() })
}

/// All files as one, and what to call them.
fn read(files: &[PathBuf]) -> Result<(Kubeconfig, String), ApiError> {
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let origin = format!("kubeconfig {}", names.join(", "));
    let mut merged = Kubeconfig::default();
    for path in files {
        let one = Kubeconfig::read_from(path).map_err(|error| unusable(&error, &display(path)))?;
        merged = merged.merge(one).map_err(|error| unusable(&error, &origin))?;
    }
    Ok((merged, origin))
}

fn choose_context(kubeconfig: &Kubeconfig, wanted: Option<&str>, origin: &str) -> Result<String, ApiError> {
    let known: Vec<&str> = kubeconfig.contexts.iter().map(|it| it.name.as_str()).collect();
    let known_text = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let detail = match wanted.or(current) {
        Some(name) if known.contains(&name) => return Ok(name.to_owned()),
        Some(name) => format!("there is no context \"{name}\" in {origin}: {known_text}"),
        None => format!("{origin} has no current context, so choose one with --context: {known_text}"),
    };
    Err(ApiError::Config { detail })
}

fn in_cluster(options: &ConnectOptions) -> Result<(Config, String, String), ApiError> {
    if let Some(context) = &options.context {
        let detail =
            format!("there is no context \"{context}\": a pod's service account is used, since there is no kubeconfig");
        return Err(ApiError::Config { detail });
    }
    let origin = "the service account of this pod".to_owned();
    let unusable = |error| ApiError::Config { detail: format!("{origin} cannot be used: {error}") };
    let config = Config::incluster().map_err(unusable)?;
    Ok((config, origin, IN_CLUSTER.to_owned()))
}

fn unusable(error: &KubeconfigError, origin: &str) -> ApiError {
    let detail = match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(error) => match error.location() {
            Some(location) => format!("line {} cannot be understood", location.line()),
            None => "it cannot be understood".to_owned(),
        },
        other => other.to_string(),
    };
    ApiError::Config { detail: format!("{origin} cannot be used: {detail}") }
}

fn has_own_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let context = kubeconfig.contexts.iter().find(|it| it.name == context).and_then(|it| it.context.as_ref());
    let cluster = context.and_then(|context| kubeconfig.clusters.iter().find(|it| it.name == context.cluster));
    let proxy = cluster.and_then(|it| it.cluster.as_ref()).and_then(|it| it.proxy_url.as_ref());
    proxy.is_some_and(|proxy| !proxy.is_empty())
}

fn no_proxy() -> String {
    env::var("NO_PROXY").or_else(|_| env::var("no_proxy")).unwrap_or_default()
}

/// Whether `NO_PROXY` names the host: itself, a domain it is in, or a block of addresses.
fn is_without_proxy(host: &str, no_proxy: &str) -> bool {
    let is_named = |rule: &str| {
        if let Some((block, bits)) = rule.split_once('/') {
            return is_in_block(host, block, bits);
        }
        let domain = rule.trim_start_matches("*.").trim_start_matches('.');
        let is_below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        rule == "*" || (!domain.is_empty() && (host == domain || is_below()))
    };
    is_loopback(host) || no_proxy.split(',').map(str::trim).any(is_named)
}

fn is_in_block(host: &str, block: &str, bits: &str) -> bool {
    let bits_of = |text: &str| match text.parse().ok()? {
        IpAddr::V4(address) => Some((u128::from(u32::from(address)) << 96, 32)),
        IpAddr::V6(address) => Some((u128::from(address), 128)),
    };
    let (Some((host, width)), Some((block, block_width)), Ok(bits)) =
        (bits_of(host), bits_of(block), bits.parse::<u32>())
    else {
        return false;
    };
    width == block_width && bits <= width && (bits == 0 || (host ^ block) >> (128 - bits) == 0)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Without a name and a password, which some write into it.
fn address(url: &http::Uri) -> String {
    let authority = url.authority().map(|it| it.as_str()).unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{authority}{}", url.scheme_str().unwrap_or("https"), url.path().trim_end_matches('/'))
}

fn display(path: &Path) -> String {
    format!("kubeconfig {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_left_out_for_the_hosts_that_no_proxy_names() {
        let table = [
            ("kube.example.com", "example.com", true),
            ("kube.example.com", ".example.com", true),
            ("kube.example.com", "*.example.com", true),
            ("kubeexample.com", "example.com", false),
            ("kube.example.com", "a,kube.example.com , b", true),
            ("kube.example.com", "*", true),
            ("kube.example.com", "", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.0.0.0/99", false),
            ("fd00::1", "fd00::/8", true),
            ("10.1.2.3", "fd00::/8", false),
            ("127.0.0.1", "", true),
            ("localhost", "", true),
        ];
        for (host, no_proxy, is_without) in table {
            assert_eq!(is_without_proxy(host, no_proxy), is_without, "{host} {no_proxy}");
        }
    }

    #[test]
    fn an_address_is_shown_without_a_password() {
        let shown = |url: &str| address(&url.parse().unwrap());
        assert_eq!(
            shown("https://me:secret@kube.example.com:6443/k8s/clusters/c-1/"),
            "https://kube.example.com:6443/k8s/clusters/c-1"
        );
        assert_eq!(shown("https://[::1]:6443"), "https://[::1]:6443");
    }
}

//! Where a repository lies: a directory or a prefix of a bucket, as people write it.
//!
//! A location never holds a secret: addresses with a user, a password or a query (signatures) are refused, and the
//! refusal does not repeat them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// A parsed location. `Display` gives its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Directory(PathBuf),
    S3 {
        bucket: String,
        prefix: String,
    },
    Gcs {
        bucket: String,
        prefix: String,
    },
    /// Without an account here, the environment names it (`AZURE_STORAGE_ACCOUNT_NAME`).
    Azure {
        account: Option<String>,
        container: String,
        prefix: String,
    },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    #[error("a repository location is missing")]
    Empty,
    #[error("{scheme}:// is no kind of storage; use a path, file://, s3://, gs:// or az://")]
    UnknownScheme { scheme: String },
    #[error("this web address names no known storage; use s3://bucket/prefix and give the server as the endpoint")]
    WebAddress,
    #[error("a repository location must not hold credentials; set them in the environment")]
    Credentials,
    #[error("{scheme}:// needs a bucket or container after it")]
    NoBucket { scheme: String },
    #[error("file:// needs an absolute path on this machine")]
    RemoteFile,
    #[error("the prefix {prefix:?} has an empty part, '.' or '..', or a control character in it")]
    Prefix { prefix: String },
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "file" => return file(text),
            "s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss" | "http" | "https" => {}
            _ => return Err(LocationError::UnknownScheme { scheme }),
        }
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains('?') || rest.contains('#') {
            return Err(LocationError::Credentials);
        }
        let prefix = checked_prefix(prefix)?;
        // abfss://container@account.dfs.core.windows.net is the one form where '@' is not about credentials.
        if let Some((container, host)) = authority.split_once('@') {
            return match (scheme.starts_with("abfs"), azure_account(host)) {
                (true, Some(account)) if !container.is_empty() && !container.contains(':') => {
                    Ok(Self::Azure { account: Some(account), container: container.to_owned(), prefix })
                }
                _ => Err(LocationError::Credentials),
            };
        }
        if scheme.starts_with("http") {
            return web_address(authority, &prefix);
        }
        if authority.is_empty() {
            return Err(LocationError::NoBucket { scheme });
        }
        let bucket = authority.to_owned();
        Ok(match scheme.as_str() {
            "s3" | "s3a" => Self::S3 { bucket, prefix },
            "gs" => Self::Gcs { bucket, prefix },
            _ => Self::Azure { account: None, container: bucket, prefix },
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, bucket, prefix) = match self {
            Self::Directory(path) => return write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } => ("s3", bucket, prefix),
            Self::Gcs { bucket, prefix } => ("gs", bucket, prefix),
            Self::Azure { account: None, container, prefix } => ("az", container, prefix),
            Self::Azure { account: Some(account), container, prefix } => {
                write!(f, "abfss://{container}@{account}.dfs.core.windows.net")?;
                return if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") };
            }
        };
        write!(f, "{scheme}://{bucket}")?;
        if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn file(text: &str) -> Result<Location, LocationError> {
    let url = Url::parse(text).map_err(|_| LocationError::RemoteFile)?;
    url.to_file_path().map(Location::Directory).map_err(|()| LocationError::RemoteFile)
}

fn web_address(host: &str, path: &str) -> Result<Location, LocationError> {
    let account = azure_account(host).ok_or(LocationError::WebAddress)?;
    let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
    if container.is_empty() {
        return Err(LocationError::NoBucket { scheme: "https".to_owned() });
    }
    Ok(Location::Azure { account: Some(account), container: container.to_owned(), prefix: prefix.to_owned() })
}

fn azure_account(host: &str) -> Option<String> {
    let account = host.strip_suffix(".blob.core.windows.net").or_else(|| host.strip_suffix(".dfs.core.windows.net"))?;
    let valid = !account.is_empty() && account.chars().all(|c| c.is_ascii_alphanumeric());
    valid.then(|| account.to_owned())
}

fn checked_prefix(prefix: &str) -> Result<String, LocationError> {
    let trimmed = prefix.trim_matches('/');
    let wrong = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(char::is_control);
    if !trimmed.is_empty() && trimmed.split('/').any(wrong) {
        return Err(LocationError::Prefix { prefix: prefix.to_owned() });
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_people_write_them() {
        for (text, shown) in [
            ("/srv/backups", "/srv/backups"),
            ("relative/folder", "relative/folder"),
            ("file:///srv/back%20ups", "/srv/back ups"),
            ("s3://bucket", "s3://bucket"),
            ("S3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/a", "gs://bucket/a"),
            ("az://container/a", "az://container/a"),
            ("azure://container", "az://container"),
            ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
            (
                "https://account.blob.core.windows.net/container/a/b",
                "abfss://container@account.dfs.core.windows.net/a/b",
            ),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown, "{text}");
            assert_eq!(location.to_string().parse(), Ok(location), "the canonical form means the same");
        }
    }

    #[test]
    fn what_is_no_location_is_refused_without_repeating_secrets() {
        for (text, expected) in [
            ("", LocationError::Empty),
            ("ftp://host/x", LocationError::UnknownScheme { scheme: "ftp".to_owned() }),
            ("https://minio.example.com/bucket", LocationError::WebAddress),
            ("s3://key:hunter2@bucket/a", LocationError::Credentials),
            ("https://account.blob.core.windows.net/c?sig=hunter2", LocationError::Credentials),
            ("s3://", LocationError::NoBucket { scheme: "s3".to_owned() }),
            ("file://host/x", LocationError::RemoteFile),
            ("s3://bucket/a//b", LocationError::Prefix { prefix: "a//b".to_owned() }),
            ("s3://bucket/../b", LocationError::Prefix { prefix: "../b".to_owned() }),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error, expected, "{text}");
        }
    }
}

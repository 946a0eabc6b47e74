//! What a server really answered, kept beside the storage library's own errors.
//!
//! Those errors tell little that a program can use: the status is text, `Retry-After` is dropped, a listing's
//! refusal looks like any other failure. So the HTTP client is wrapped: it notes the last unsuccessful answer of the
//! running attempt, and [`failure`] puts note and error together.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use md5::{Digest, Md5};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderValue};

use super::error::{ErrorKind, Failure, kind_of_io};

/// Longest error document that is looked at.
const LONGEST_MESSAGE_CHARS: usize = 300;

tokio::task_local! {
    static NOTE: RefCell<Note>;
}

#[derive(Debug, Default)]
struct Note {
    upload: Option<Bytes>,
    host: String,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    status: u16,
    code: String,
    message: String,
    retry_after: Option<Duration>,
}

/// Runs one request and turns its error into a [`Failure`].
pub(super) async fn noted<T>(request: impl Future<Output = object_store::Result<T>>) -> Result<T, Failure> {
    run(request, None).await
}

/// Like [`noted`], for a request that uploads `body`.
pub(super) async fn noted_upload<T>(
    request: impl Future<Output = object_store::Result<T>>,
    body: Bytes,
) -> Result<T, Failure> {
    run(request, Some(body)).await
}

async fn run<T>(request: impl Future<Output = object_store::Result<T>>, upload: Option<Bytes>) -> Result<T, Failure> {
    let run = async { request.await.map_err(|error| failure(&error, NOTE.with(RefCell::take))) };
    NOTE.scope(RefCell::new(Note { upload, ..Note::default() }), run).await
}

/// How a cloud proves that an upload arrived unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadChecksum {
    /// The storage library sends one itself.
    ByLibrary,
    /// We send the MD5, and the server compares.
    Md5InRequest,
    /// The server sends the MD5, and we compare: a header of ours would come too late for the request's signature.
    Md5InAnswer,
}

/// The clients that [`noted`] understands.
#[derive(Debug)]
pub(super) struct NotingConnector {
    pub(super) checksum: UploadChecksum,
}

impl HttpConnector for NotingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(NotingService { client, checksum: self.checksum }))
    }
}

#[derive(Debug)]
struct NotingService {
    client: HttpClient,
    checksum: UploadChecksum,
}

impl HttpService for NotingService {
    fn call<'life, 'future>(
        &'life self,
        mut request: HttpRequest,
    ) -> BoxFuture<'future, Result<HttpResponse, HttpError>>
    where
        'life: 'future,
        Self: 'future,
    {
        async move {
            // Outside of an attempt nobody reads the note, and there is nothing to do.
            let host = request.uri().host().unwrap_or_default().to_owned();
            let upload = NOTE.try_with(|note| {
                let mut note = note.borrow_mut();
                (note.host, note.refusal) = (host, None);
                note.upload.clone()
            });
            let is_put = request.method().as_str() == "PUT" && self.checksum != UploadChecksum::ByLibrary;
            let md5 = upload.ok().flatten().filter(|_| is_put).and_then(|body| md5(&body));
            if self.checksum == UploadChecksum::Md5InRequest
                && let Some(md5) = md5.clone()
            {
                request.headers_mut().insert("content-md5", md5);
            }
            // The library deletes from Azure with the request for many objects, whose answer is a success in any case.
            let is_batch = request.uri().query().is_some_and(|query| query.contains("comp=batch"));
            let response = self.client.execute(request).await?;
            if is_batch && response.status().is_success() {
                let (parts, body) = response.into_parts();
                let body = body.bytes().await?;
                let refusal = refusal_in_batch(&String::from_utf8_lossy(&body));
                let _ = NOTE.try_with(|note| note.borrow_mut().refusal = refusal);
                return Ok(HttpResponse::from_parts(parts, body.into()));
            }
            if response.status().is_success() || response.status().as_u16() == 304 {
                // A store that sends none cannot be checked.
                let stored = response.headers().get("content-md5").filter(|_| is_put);
                if self.checksum == UploadChecksum::Md5InAnswer && stored.is_some() && stored != md5.as_ref() {
                    return Err(HttpError::new(HttpErrorKind::Interrupted, DamagedUpload));
                }
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let body = body.bytes().await?;
            let text = String::from_utf8_lossy(&body);
            let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
            let refusal = Refusal {
                status: parts.status.as_u16(),
                code: element(&text, "Code")
                    .or_else(|| header("x-ms-error-code").map(str::to_owned))
                    .unwrap_or_default(),
                message: element(&text, "Message").unwrap_or_default(),
                retry_after: header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs),
            };
            let _ = NOTE.try_with(|note| note.borrow_mut().refusal = Some(refusal));
            Ok(HttpResponse::from_parts(parts, body.into()))
        }
        .boxed()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server received other bytes than were sent")]
struct DamagedUpload;

fn md5(body: &[u8]) -> Option<HeaderValue> {
    BASE64_STANDARD.encode(Md5::digest(body)).parse().ok()
}

fn failure(error: &object_store::Error, note: Note) -> Failure {
    if let Some(refusal) = note.refusal {
        let kind = match error {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => ErrorKind::Conflict,
            _ => refusal.kind(),
        };
        let mut failure = Failure::new(kind, refusal.to_string());
        failure.retry_after = refusal.retry_after.filter(|_| kind == ErrorKind::Retry);
        return failure;
    }
    let root = root_cause(error);
    let kind = match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => ErrorKind::Conflict,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => ErrorKind::Denied,
        object_store::Error::Generic { .. } | object_store::Error::JoinError { .. } => {
            root.downcast_ref::<io::Error>().map_or(ErrorKind::Retry, kind_of_io)
        }
        _ => ErrorKind::Invalid,
    };
    let text = if note.host.is_empty() {
        root.to_string()
    } else if note.host.starts_with("169.254.") {
        format!(
            "the environment holds no credentials, and this machine's metadata service ({}) gave none: {root}",
            note.host
        )
    } else {
        format!("no usable answer from {}: {root}", note.host)
    };
    Failure::new(kind, text)
}

impl Refusal {
    fn kind(&self) -> ErrorKind {
        match (self.status, self.code.as_str()) {
            (_, code) if code.contains("QuotaExceeded") => ErrorKind::Full,
            // Damaged on the way, or too slow: the same request may well succeed.
            (400, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch" | "Md5Mismatch") => {
                ErrorKind::Retry
            }
            (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" | "AuthorizationHeaderMalformed")
            | (401 | 403 | 405, _) => ErrorKind::Denied,
            (404, _) => ErrorKind::NotFound,
            (409 | 412, _) => ErrorKind::Conflict,
            (416, _) => ErrorKind::Corrupt,
            (507, _) => ErrorKind::Full,
            (501, _) => ErrorKind::Invalid,
            (408 | 429 | 500.., _) => ErrorKind::Retry,
            _ => ErrorKind::Invalid,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// The answer to the one request in a batch: a status line and headers within the body.
fn refusal_in_batch(body: &str) -> Option<Refusal> {
    let (_, answer) = body.split_once("HTTP/1.1 ")?;
    let status = answer.get(..3)?.parse().ok().filter(|status| !(200..300).contains(status))?;
    let code = answer.lines().find_map(|line| line.strip_prefix("x-ms-error-code:"));
    let code = code.unwrap_or_default().trim().to_owned();
    Some(Refusal { status, code, message: element(answer, "Message").unwrap_or_default(), retry_after: None })
}

/// The innermost error says what happened ("connection refused", "unknown issuer"); the layers around it repeat the
/// request's address.
fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

/// The text of an element of an XML error document. Only these two short elements are ever shown: the rest of such
/// documents may repeat the request, signature included.
fn element(document: &str, tag: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{tag}>"))?;
    let (text, _) = rest.split_once(&format!("</{tag}>"))?;
    let line = text.lines().next().unwrap_or_default();
    Some(line.chars().filter(|c| !c.is_control()).take(LONGEST_MESSAGE_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_within_a_batch_is_found() {
        let body = |answer: &str| format!("--batch_1\r\nContent-ID: 0\r\n\r\nHTTP/1.1 {answer}\r\n--batch_1--\r\n");
        assert!(refusal_in_batch(&body("202 Accepted\r\nx-ms-version: 2023-11-03\r\n")).is_none());
        let refused = body("409 Conflict\r\nx-ms-error-code: BlobImmutableDueToPolicy\r\n");
        let refusal = refusal_in_batch(&refused).unwrap();
        assert_eq!(refusal.to_string(), "the server answered 409 BlobImmutableDueToPolicy");
        assert_eq!(refusal.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn answers_say_what_can_be_done_about_them() {
        for (status, code, kind) in [
            (403, "SignatureDoesNotMatch", ErrorKind::Denied),
            (400, "ExpiredToken", ErrorKind::Denied),
            (400, "RequestTimeout", ErrorKind::Retry),
            (400, "InvalidArgument", ErrorKind::Invalid),
            (404, "NoSuchKey", ErrorKind::NotFound),
            (412, "PreconditionFailed", ErrorKind::Conflict),
            (403, "QuotaExceeded", ErrorKind::Full),
            (507, "XMinioStorageFull", ErrorKind::Full),
            (429, "", ErrorKind::Retry),
            (503, "SlowDown", ErrorKind::Retry),
            (501, "NotImplemented", ErrorKind::Invalid),
        ] {
            let refusal = Refusal { status, code: code.to_owned(), message: String::new(), retry_after: None };
            assert_eq!(refusal.kind(), kind, "{status} {code}");
        }
    }
}

//! Real servers for tests, each started once for the test process and gone with it.
//!
//! - [`s3`]: versitygw over a temporary folder; [`azure`]: azurite in memory. Both check signatures.
//! - [`CannedServer`] answers what a test tells it to: for what no real server does on demand (overload, silence).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backstay_repo::store::{Location, StoreOptions};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::signer::{SignedUrlOptions, Signer};
use parking_lot::Mutex;

use crate::process::{Server, tool};

const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";

/// The emulator's own account, known to everybody.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Signed with that key, for everything in that account until 2100: making a container needs no signing code then.
const AZURE_SAS: &str = "sv=2019-12-12&ss=b&srt=sco&sp=rwdlac&se=2100-01-01T00%3A00%3A00Z&sig=6Px4DBl9EbhM9UYKYthc2apX3i0oLhrUr2ObbvoSsGs%3D";

/// A bucket or container of one's own, with everything that is needed to open it.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub location: Location,
    pub options: StoreOptions,
}

/// A new bucket in versitygw.
pub fn s3() -> Bucket {
    let server = s3_server();
    let bucket = unique("bucket");
    server.admin(&bucket, "PUT", &[], &[], "");
    server.open(&bucket)
}

/// A new bucket whose objects cannot be deleted for a day, by anybody.
pub fn s3_with_retention() -> Bucket {
    let server = s3_server();
    let bucket = unique("locked");
    server.admin(&bucket, "PUT", &[], &[("x-amz-bucket-object-lock-enabled", "true")], "");
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    // The MD5 of the rule, which the server insists on.
    let checksum = ("content-md5", "bAtV4GhRHjlhyrqo+OfhYg==");
    server.admin(&bucket, "PUT", &[("object-lock", "")], &[checksum], rule);
    server.open(&bucket)
}

/// A new container in azurite.
pub fn azure() -> Bucket {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let program = tool("azurite/node_modules/.bin/azurite-blob");
        Server::start("azurite", |port, _| {
            let mut command = Command::new(&program);
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
            command
        })
    });
    let container = unique("container");
    let address = format!("http://{}/{AZURE_ACCOUNT}/{container}?restype=container&{AZURE_SAS}", server.address());
    request("PUT", &address, &[("x-ms-version", "2019-12-12")], "");
    let endpoint = format!("http://{}/{AZURE_ACCOUNT}", server.address());
    let environment = [("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT), ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)];
    Bucket {
        location: format!("az://{container}/some/prefix").parse().expect("a location"),
        options: StoreOptions {
            environment: environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            endpoint: Some(endpoint),
            ..StoreOptions::default()
        },
    }
}

/// Settings that reach the same container as [`azure`]'s with a shared access signature instead of the key.
pub fn azure_with_signature() -> Bucket {
    let mut bucket = azure();
    bucket.options.environment.remove("AZURE_STORAGE_ACCOUNT_KEY");
    bucket.options.environment.insert("AZURE_STORAGE_SAS_TOKEN".to_owned(), AZURE_SAS.to_owned());
    bucket
}

/// A signed request about an object of a bucket of [`s3`], or about the bucket when `name` is empty; status and answer.
pub fn s3_request(bucket: &Bucket, method: &str, name: &str, query: &[(&str, &str)]) -> (u16, String) {
    let Location::S3 { bucket, prefix } = &bucket.location else {
        panic!("{} is no bucket of S3", bucket.location);
    };
    let path = if name.is_empty() { ObjectPath::default() } else { ObjectPath::from(format!("{prefix}/{name}")) };
    let address = s3_server().signed(bucket, method, &path, query, &[]);
    exchange(method, &address, &[], "")
}

struct S3Server {
    server: Server,
}

fn s3_server() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let program = tool("bin/versitygw");
        let server = Server::start("versitygw", |port, folder| {
            let versions = folder.join("versions");
            let data = folder.join("data");
            for folder in [&versions, &data] {
                std::fs::create_dir_all(folder).expect("a folder in a temporary folder");
            }
            let mut command = Command::new(&program);
            command.args(["--port", &format!("127.0.0.1:{port}"), "--access", ACCESS_KEY, "--secret", SECRET_KEY]);
            command.args(["--quiet", "--keep-alive", "posix", "--versioning-dir"]).arg(versions).arg(data);
            command
        });
        S3Server { server }
    })
}

impl S3Server {
    fn open(&self, bucket: &str) -> Bucket {
        let environment = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
        Bucket {
            location: format!("s3://{bucket}/some/prefix").parse().expect("a location"),
            options: StoreOptions {
                environment: environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
                endpoint: Some(format!("http://{}", self.server.address())),
                ..StoreOptions::default()
            },
        }
    }

    fn admin(&self, bucket: &str, method: &str, query: &[(&str, &str)], headers: &[(&str, &str)], body: &str) {
        let address = self.signed(bucket, method, &ObjectPath::default(), query, headers);
        request(method, &address, headers, body);
    }

    /// An address signed by the storage library's own signer.
    fn signed(
        &self,
        bucket: &str,
        method: &str,
        path: &ObjectPath,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> String {
        let client = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.server.address()))
            .with_allow_http(true)
            .with_access_key_id(ACCESS_KEY)
            .with_secret_access_key(SECRET_KEY)
            .with_bucket_name(bucket)
            .build()
            .expect("a client");
        let mut options = SignedUrlOptions::new().with_query(query.iter().copied());
        for (name, value) in headers {
            let name = name.parse().expect("a header's name");
            options = options.with_signed_header(name, value.parse().expect("a header's value"));
        }
        let method = method.parse().expect("a method");
        let signed = client.signed_url_opts(method, path, Duration::from_mins(5), &options);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without threads");
        runtime.block_on(signed).expect("a signature").to_string()
    }
}

fn unique(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// One plain request, which must succeed.
fn request(method: &str, address: &str, headers: &[(&str, &str)], body: &str) {
    let (status, answer) = exchange(method, address, headers, body);
    assert!((200..300).contains(&status), "{method} {address}: {answer}");
}

/// One plain request; status, and the answer with its headers.
fn exchange(method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let rest = address.strip_prefix("http://").expect("a plain address");
    let (host, path) = rest.split_once('/').expect("an address with a path");
    let mut stream = TcpStream::connect(host).expect("the server listens");
    let mut message = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        message.push_str(&format!("{name}: {value}\r\n"));
    }
    message.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(message.as_bytes()).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

/// One request as a [`CannedServer`] saw it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What a [`CannedServer`] does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status, headers and body.
    Reply(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Closes the connection.
    HangUp,
    /// Keeps the connection open and says nothing.
    Silence,
}

/// Answers requests in order from a list; when it is used up, with the last answer.
pub struct CannedServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl CannedServer {
    /// # Panics
    /// Without any answer.
    pub fn start(answers: impl Into<VecDeque<Answer>>) -> Self {
        let answers: VecDeque<Answer> = answers.into();
        assert!(!answers.is_empty(), "a server needs an answer");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen) = (Arc::new(Mutex::new(answers)), Arc::clone(&requests));
        // The threads end with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &answers, &seen));
            }
        });
        Self { address, requests }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

fn serve(stream: TcpStream, answers: &Mutex<VecDeque<Answer>>, seen: &Mutex<Vec<Request>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let request = read_request(&mut reader)?;
        let is_head = request.method == "HEAD";
        seen.lock().push(request);
        let answer = {
            let mut answers = answers.lock();
            if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
        };
        match answer? {
            Answer::HangUp => return None,
            // The client closes when it has waited long enough.
            Answer::Silence => return stream.read(&mut [0]).ok().map(|_| ()),
            Answer::Reply(status, headers, body) => {
                let mut message = format!("HTTP/1.1 {status} Canned\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    message.push_str(&format!("{name}: {value}\r\n"));
                }
                message.push_str("\r\n");
                stream.write_all(message.as_bytes()).ok()?;
                if !is_head {
                    stream.write_all(&body).ok()?;
                }
            }
        }
    }
}

pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    let size_bytes = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    request.body = vec![0; size_bytes];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

//! Values of Secrets and credentials on their way through a bad day: they must be in no log line, at any level, and in no error.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_cluster::api::{ApiError, ConnectOptions, ListOptions, Page, PatchKind, Server, WriteOptions};
use backstay_testkit::cluster;
use backstay_testkit::proxy::{Fault, Proxy, Rule};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Everything that this process says at any level: ours, and that of the libraries below.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_secret_is_in_no_log_line_and_in_no_error() {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).unwrap();
    let cluster = cluster::shared();
    let namespace = cluster.namespace("secrets");
    let proxy = Proxy::start(cluster);
    let deadline = Duration::from_secs(9);
    let server =
        Server::connect(&ConnectOptions { kubeconfig: Some(proxy.kubeconfig()), context: None, deadline }).unwrap();
    let secrets = server.discover().unwrap().find("secrets").unwrap().resource.clone();
    let (space, options) = (Some(&namespace[..]), WriteOptions::new("test"));
    // In plain, in base64, and as a token.
    let planted = ["planted-hunter2", "cGxhbnRlZC1odW50ZXIy", cluster.token()];
    let body =
        json!({ "metadata": { "name": "s" }, "stringData": { "key": planted[0] }, "data": { "other": planted[1] } });
    let body = body.to_string();
    let fail = |fault| Rule::new(&format!("/api/v1/namespaces/{namespace}/secrets"), fault);
    let mut errors = String::new();
    let mut keep = |error: ApiError| writeln!(errors, "{error} {error:?}").unwrap();

    proxy.add(fail(Fault::too_many_requests(1)).method("POST"));
    proxy.add(fail(Fault::status(500, "InternalError", "etcdserver: request timed out")).method("POST"));
    keep(server.create(&secrets, space, body.as_bytes(), &options).unwrap_err());
    proxy.add(fail(Fault::LoseAnswer).method("POST"));
    keep(server.create(&secrets, space, body.as_bytes(), &options).unwrap_err());
    keep(server.create(&secrets, space, body.as_bytes(), &options).unwrap_err());
    let broken = body.replace("\"other\"", "\"not a key\"");
    keep(server.patch(&secrets, space, "s", PatchKind::Merge, broken.as_bytes(), &options).unwrap_err());
    let mut each = |_: Page| -> Result<(), ApiError> { Ok(()) };
    let list = ListOptions { namespace: Some(namespace.clone()), ..ListOptions::default() };
    proxy.add(fail(Fault::Truncate).method("GET"));
    server.list(&secrets, &list, &mut each).unwrap();
    proxy.add(fail(Fault::TruncateUnnoticed).method("GET").times(2));
    keep(server.list(&secrets, &list, &mut each).unwrap_err());

    let log = recorder.0.lock().unwrap();
    assert!(log.contains("trying again") && log.contains("secrets"), "the recorder works");
    assert_eq!(errors.lines().count(), 5);
    for planted in planted {
        assert!(!log.contains(planted) && !errors.contains(planted), "{planted}");
    }
}

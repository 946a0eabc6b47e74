//! The API over a proxy that does what networks, load balancers and busy servers do on bad days.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use backstay_cluster::api::{ApiError, ConnectOptions, ListOptions, Listed, Page, Server, WriteOptions};
use backstay_cluster::resource::{Resource, ResourceName};
use backstay_testkit::cluster::{self, Cluster, ClusterOptions};
use backstay_testkit::proxy::{Fault, Proxy, Rule};
use serde_json::{Value, json};

/// A namespace of one's own behind a proxy of one's own.
struct World {
    proxy: Proxy,
    server: Server,
    namespace: String,
    path: String,
}

impl World {
    fn new(config_maps: usize) -> Self {
        Self::with_deadline(config_maps, Duration::from_mins(1))
    }

    fn with_deadline(config_maps: usize, deadline: Duration) -> Self {
        Self::on(cluster::shared(), config_maps, deadline)
    }

    fn on(cluster: &Cluster, config_maps: usize, deadline: Duration) -> Self {
        let namespace = cluster.namespace("faults");
        let proxy = Proxy::start(cluster);
        let options = ConnectOptions { kubeconfig: Some(proxy.kubeconfig()), context: None, deadline };
        let server = Server::connect(&options).unwrap();
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let world = Self { proxy, server, namespace, path };
        // One is there already: kube-root-ca.crt.
        for number in 1..config_maps {
            world.create(&format!("map-{number}")).unwrap();
        }
        world
    }

    fn create(&self, name: &str) -> Result<(), ApiError> {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } }).to_string();
        let options = WriteOptions::new("test");
        self.server.create(&config_maps(), Some(&self.namespace), body.as_bytes(), &options).map(drop)
    }

    fn get(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.server.get(&config_maps(), Some(&self.namespace), name)?.is_some())
    }

    fn list(&self) -> Result<(Vec<Vec<String>>, Listed), ApiError> {
        self.list_with(&mut |_| {})
    }

    /// The names on each page that counts, five at most.
    fn list_with(&self, each: &mut dyn FnMut(usize)) -> Result<(Vec<Vec<String>>, Listed), ApiError> {
        let options = ListOptions { namespace: Some(self.namespace.clone()), page_size: 5, ..ListOptions::default() };
        let mut pages: Vec<Vec<String>> = Vec::new();
        let mut take = |page: Page| -> Result<(), ApiError> {
            if page.restart {
                pages.clear();
            }
            pages.push(page.items.iter().map(|item| name(item)).collect());
            each(pages.len());
            Ok(())
        };
        let listed = self.server.list(&config_maps(), &options, &mut take)?;
        Ok((pages, listed))
    }

    fn fail(&self, fault: Fault) -> Rule {
        Rule::new(&self.path, fault)
    }

    fn requests(&self, method: &str) -> usize {
        self.proxy.requests(&self.path).iter().filter(|request| request.method == method).count()
    }
}

fn config_maps() -> Resource {
    Resource {
        name: ResourceName::core("configmaps"),
        version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        singular: String::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        served: Vec::new(),
    }
}

fn name(object: &[u8]) -> String {
    let object: Value = serde_json::from_slice(object).unwrap();
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Looks again and again until there is something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(1) {
        if let Some(found) = look() {
            return found;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("{what}: not within a minute");
}

/// How many there are, none of them twice.
#[track_caller]
fn count(pages: &[Vec<String>]) -> usize {
    let all: Vec<&String> = pages.iter().flatten().collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{pages:?}");
    all.len()
}

#[test]
fn a_token_that_expires_once_begins_the_list_anew() {
    let world = World::new(12);
    world.proxy.add(world.fail(Fault::Expired { offers: true }).query("continue=").after(1));
    let mut calls = Vec::new();
    let (pages, listed) = world.list_with(&mut |pages| calls.push(pages)).unwrap();
    assert_eq!(calls, [1, 2, 1, 2, 3], "two pages, which are void, then all three");
    assert_eq!((count(&pages), listed.restarted, listed.inconsistent), (12, true, false));
    assert_eq!(world.requests("GET"), 6);
}

#[test]
fn a_token_that_expires_twice_goes_on_in_a_later_state_and_says_so() {
    let world = World::new(12);
    world.proxy.add(world.fail(Fault::Expired { offers: true }).query("continue=").times(2));
    let before = world.list_with(&mut |_| {});
    let (pages, listed) = before.unwrap();
    assert_eq!((count(&pages), listed.restarted, listed.inconsistent), (12, true, true));
    let raw = cluster::shared().kubectl(&["get", "--raw", &format!("{}?limit=1", world.path)]);
    let now: Value = serde_json::from_str(&raw).unwrap();
    let version = |text: &str| text.parse::<u64>().unwrap();
    assert!(version(&listed.resource_version) <= version(now["metadata"]["resourceVersion"].as_str().unwrap()));
}

#[test]
fn a_token_that_expires_twice_without_another_one_fails_the_list() {
    let world = World::new(12);
    world.proxy.add(world.fail(Fault::Expired { offers: false }).query("continue=").times(2));
    let error = world.list().unwrap_err();
    assert_eq!(error.code(), Some(410));
    assert!(error.to_string().starts_with(&format!("GET {}: The provided continue parameter", world.path)), "{error}");
}

#[test]
fn tokens_that_really_expire_do_what_the_proxy_does() {
    // This one forgets its history after a second.
    let arguments = vec!["--etcd-compaction-interval=1s".to_owned()];
    let options = ClusterOptions { api_server_arguments: arguments, ..ClusterOptions::default() };
    let cluster = cluster::start(options);
    let world = World::on(&cluster, 13, Duration::from_mins(1));
    let (mut calls, mut writes) = (Vec::new(), 0);
    let (pages, listed) = world
        .list_with(&mut |pages| {
            calls.push(pages);
            if pages == 1 {
                let first = world.server.get_path(&format!("{}?limit=1", world.path)).unwrap();
                let first: Value = serde_json::from_slice(&first).unwrap();
                let token = first["metadata"]["continue"].as_str().unwrap();
                let next = format!("{}?limit=1&continue={token}", world.path);
                let error = until("the token expires", || {
                    writes += 1;
                    world.create(&format!("more-{writes}")).unwrap();
                    world.server.get_path(&next).err()
                });
                assert_eq!(error.code(), Some(410));
            }
        })
        .unwrap();
    // The second page was on its way when the first was looked at; the third one came too late, and again.
    assert_eq!(calls[..4], [1, 2, 1, 2]);
    assert!(listed.restarted && listed.inconsistent);
    let found: BTreeSet<&String> = pages.iter().flatten().collect();
    let all_the_time: Vec<String> = (1..13).map(|number| format!("map-{number}")).collect();
    assert!(all_the_time.iter().all(|name| found.contains(name)), "{pages:?}");
    count(&pages);
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let world = World::new(2);
    world.proxy.add(world.fail(Fault::too_many_requests(2)));
    let started = Instant::now();
    assert_eq!(count(&world.list().unwrap().0), 2);
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.requests("GET"), 2);
}

#[test]
fn a_pause_that_is_longer_than_the_deadline_is_not_waited_for() {
    let world = World::with_deadline(1, Duration::from_secs(5));
    world.proxy.add(world.fail(Fault::too_many_requests(60)));
    let error = world.list().unwrap_err();
    assert_eq!(error.code(), Some(429));
    assert_eq!(world.requests("GET"), 1);
}

#[test]
fn a_burst_of_server_errors_is_sat_out() {
    let world = World::new(2);
    world.proxy.add(world.fail(Fault::status(500, "InternalError", "etcdserver: leader changed")));
    world.proxy.add(world.fail(Fault::Answer(502, Vec::new(), b"<html>".to_vec())));
    world.proxy.add(world.fail(Fault::status(503, "ServiceUnavailable", "no")));
    world.proxy.add(world.fail(Fault::HangUp));
    assert_eq!(count(&world.list().unwrap().0), 2);
    assert_eq!(world.requests("GET"), 5);
}

#[test]
fn an_old_server_is_asked_group_by_group_and_says_the_same() {
    let world = World::new(1);
    let aggregated = world.server.discover().unwrap();
    assert_eq!(world.proxy.requests("/api").len(), 2);
    world.proxy.add(Rule::new("/api", Fault::OldForm).times(1000));
    let plain = world.server.discover().unwrap();
    assert!(world.proxy.requests("/api").len() > 20);
    assert_eq!(plain, aggregated);
}

#[test]
fn an_error_that_stays_is_told_soon() {
    let world = World::new(1);
    world.proxy.add(world.fail(Fault::status(500, "InternalError", "conversion webhook failed")).times(100));
    let error = world.list().unwrap_err();
    assert_eq!(error.to_string(), format!("GET {}: conversion webhook failed (500 InternalError)", world.path));
    assert_eq!(world.requests("GET"), 3);
}

#[test]
fn a_page_that_breaks_off_is_asked_for_again() {
    let world = World::new(12);
    world.proxy.add(world.fail(Fault::Truncate).query("continue="));
    world.proxy.add(world.fail(Fault::TruncateUnnoticed).query("continue=").after(1));
    let (pages, listed) = world.list().unwrap();
    assert_eq!(count(&pages), 12);
    assert!(!listed.restarted && !listed.inconsistent);
    assert_eq!(world.requests("GET"), 5);
}

#[test]
fn a_server_that_falls_silent_is_asked_again_until_the_deadline() {
    let world = World::with_deadline(1, Duration::from_secs(3));
    world.proxy.add(world.fail(Fault::Silence));
    assert!(world.get("kube-root-ca.crt").unwrap());
    assert_eq!(world.requests("GET"), 2);
    world.proxy.add(world.fail(Fault::Silence).times(100));
    let started = Instant::now();
    let error = world.get("kube-root-ca.crt").unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(matches!(error, ApiError::Deadline { .. }) && !error.is_outcome_unknown(), "{error}");
    assert!(error.to_string().contains(&world.proxy.address()), "{error}");
}

#[test]
fn a_write_whose_answer_is_lost_is_not_repeated_and_says_that_nobody_knows() {
    let world = World::new(1);
    world.proxy.add(world.fail(Fault::LoseAnswer).method("POST"));
    assert!(world.create("lost").unwrap_err().is_outcome_unknown());
    assert_eq!(world.requests("POST"), 1);
    assert!(world.get("lost").unwrap(), "it was done");
    world.proxy.add(world.fail(Fault::HangUp).method("POST"));
    assert!(world.create("never").unwrap_err().is_outcome_unknown());
    assert!(!world.get("never").unwrap(), "it was not done, and looks the same");
    world.proxy.add(world.fail(Fault::Answer(503, Vec::new(), b"reset before headers".to_vec())).method("POST"));
    assert!(world.create("never").unwrap_err().is_outcome_unknown());
    assert_eq!(world.requests("POST"), 3);
}

#[test]
fn a_write_that_was_turned_away_is_repeated() {
    let world = World::new(1);
    world.proxy.add(world.fail(Fault::too_many_requests(0)).method("POST").times(2));
    world.create("later").unwrap();
    assert_eq!(world.requests("POST"), 3);
    assert!(world.get("later").unwrap());
}

#[test]
fn an_interrupt_ends_the_wait_for_an_answer() {
    let world = World::new(12);
    world.proxy.add(world.fail(Fault::Silence).query("continue="));
    let started = Instant::now();
    let error = world.list_with(&mut |_| world.server.interrupt()).unwrap_err();
    assert!(matches!(error, ApiError::Interrupted { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_interrupt_ends_a_pause_between_tries_and_nothing_is_asked_after_it() {
    let world = World::new(1);
    world.proxy.add(world.fail(Fault::too_many_requests(50)));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.get("kube-root-ca.crt").unwrap_err());
        until("the request is there", || (world.requests("GET") == 1).then_some(()));
        world.server.interrupt();
        let error = waiting.join().unwrap();
        assert_eq!(error.to_string(), format!("GET {}/kube-root-ca.crt: interrupted", world.path));
    });
    assert!(matches!(world.get("kube-root-ca.crt").unwrap_err(), ApiError::Interrupted { .. }));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(world.requests("GET"), 1);
}

#[test]
fn an_answer_that_is_no_list_fails_and_is_never_quoted() {
    let world = World::new(1);
    let page = |items: &str, token: &str| format!(r#"{{"metadata":{{"continue":"{token}"}},"items":{items}}}"#);
    let unreadable = [
        ("<html>please log in: hunter2</html>".to_owned(), "it is no JSON"),
        (r#"{"password":"hunter2"}"#.to_owned(), "it has another form than expected"),
        (page(r#"["hunter2"]"#, ""), "it has another form than expected"),
        (r#"{"metadata":{"resourceVersion":["hunter2"]},"items":[]}"#.to_owned(), "it has another form than expected"),
    ];
    for (body, what) in unreadable {
        world.proxy.add(world.fail(Fault::Answer(200, Vec::new(), body.into_bytes())));
        let error = world.list().unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            matches!(error, ApiError::Malformed { .. }) && text.contains(what) && !text.contains("hunter2"),
            "{text}"
        );
    }
    // A server that never gets on must not hold us for ever.
    world.proxy.add(
        world
            .fail(Fault::Answer(200, Vec::new(), page(r#"[{"metadata":{"name":"a"}}]"#, "again").into_bytes()))
            .times(10),
    );
    assert!(matches!(world.list().unwrap_err(), ApiError::Malformed { .. }));
}

#[test]
fn no_more_than_eight_requests_are_under_way() {
    let world = World::new(1);
    let pause = Duration::from_millis(400);
    world.proxy.add(world.fail(Fault::Delay(pause)).times(16));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert!(world.get("kube-root-ca.crt").unwrap()));
        }
    });
    assert!(started.elapsed() >= 2 * pause && started.elapsed() < 16 * pause, "{:?}", started.elapsed());
}

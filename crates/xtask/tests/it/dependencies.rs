//! Which crate may depend on which. A new edge is a design decision: change the tables here with docs/architecture.md.

use serde_json::Value;

use crate::{assert_none, output};

/// The crates of this workspace that each may be linked with. As a development dependency, any may use `testkit`.
const EDGES: &[(&str, &[&str])] = &[
    ("format", &[]),
    ("repo", &["format"]),
    ("files", &["repo", "format"]),
    ("cluster", &["repo", "files", "format"]),
    ("operator", &["cluster", "repo"]),
    ("cli", &["format", "repo", "files", "cluster", "operator"]),
    ("testkit", &["repo", "format"]),
    ("xtask", &[]),
];

/// Crates that only some of ours may name, so that each concern is dealt with in one place.
const OWNED: &[(&[&str], &[&str])] = &[
    (&["blake3", "fastcdc", "zstd", "aws-lc-rs", "argon2"], &["format"]),
    (&["object_store"], &["repo", "testkit"]),
    (&["rusqlite"], &["repo"]),
    (&["kube", "k8s-openapi"], &["cluster", "operator", "testkit"]),
    (&["anstream", "anstyle", "clap", "clap_complete", "clap_mangen", "indicatif", "rpassword"], &["cli"]),
];

/// Crates that no manifest of ours names: unkept, or a second one for a job that is given away.
const BANNED: &[&str] = &["ring", "openssl", "native-tls", "serde_yaml", "bincode", "chrono"];

/// Crates that may not be linked at all: one cryptographic library is enough.
const NOT_LINKED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

#[test]
fn crates_depend_on_each_other_only_along_the_designed_edges() {
    let dependencies = dependencies();
    assert!(dependencies.iter().any(|edge| edge.source == "repo" && edge.target == "backstay-format"));
    let is_allowed = |edge: &Dependency| {
        let Some(target) = edge.target.strip_prefix("backstay-") else { return true };
        let allowed = EDGES.iter().find(|(source, _)| *source == edge.source).map_or(&[][..], |(_, targets)| *targets);
        allowed.contains(&target) || (edge.is_for_development && target == "testkit")
    };
    let wrong = dependencies.iter().filter(|edge| !is_allowed(edge));
    assert_none(&wrong.map(|edge| format!("{} may not depend on {}", edge.source, edge.target)).collect::<Vec<_>>());
}

#[test]
fn every_crate_of_the_workspace_has_its_edges_written_down() {
    let unknown = package_names().into_iter().filter(|name| !EDGES.iter().any(|(source, _)| source == name));
    assert_none(&unknown.map(|name| format!("{name} is missing in the table of edges")).collect::<Vec<_>>());
}

#[test]
fn crates_with_one_owner_are_named_by_nobody_else() {
    let mut wrong = Vec::new();
    for edge in dependencies() {
        for (names, owners) in OWNED {
            if names.contains(&edge.target.as_str()) && !owners.contains(&edge.source.as_str()) {
                wrong.push(format!("{} may not name {}: it belongs to {owners:?}", edge.source, edge.target));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn banned_crates_are_not_named() {
    let wrong = dependencies().into_iter().filter(|edge| BANNED.contains(&edge.target.as_str()));
    assert_none(&wrong.map(|edge| format!("{} names {}", edge.source, edge.target)).collect::<Vec<_>>());
}

#[test]
fn a_second_cryptographic_library_is_not_linked() {
    let tree = output("cargo", &["tree", "--locked", "--workspace", "--edges", "normal,build", "--prefix", "none"]);
    let linked: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(linked.contains(&"aws-lc-rs"), "the one we use is in the list");
    let wrong = NOT_LINKED.iter().filter(|name| linked.contains(name));
    assert_none(&wrong.map(|name| format!("{name} is linked; `cargo tree -i {name}` says why")).collect::<Vec<_>>());
}

/// Whoever knew the seed would know every key and nonce.
#[test]
fn seeded_randomness_is_for_tests_only() {
    let mut wrong = Vec::new();
    let mut enabled = Vec::new();
    for package in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["features"].as_array().unwrap().iter().any(|feature| feature == "simulation") {
                enabled.push(short_name(&package));
            }
        }
        for (feature, enables) in package["features"].as_object().unwrap() {
            if enables.as_array().unwrap().iter().any(|it| it.as_str().unwrap().ends_with("simulation")) {
                wrong.push(format!("{} enables it by its feature {feature}", short_name(&package)));
            }
        }
    }
    assert_eq!(enabled, ["testkit"], "who enables the feature `simulation` of backstay-format");
    assert_none(&wrong);
    let arguments = ["tree", "--locked", "--package", "backstay-cli", "--edges", "normal,build", "--prefix", "none"];
    let tree = output("cargo", &[&arguments[..], &["--format", "{p} {f}"]].concat());
    let format: Vec<&str> = tree.lines().filter(|line| line.starts_with("backstay-format ")).collect();
    assert!(!format.is_empty() && !tree.contains("backstay-testkit"), "{format:?}");
    assert!(format.iter().all(|line| !line.contains("simulation")), "the released program has it: {format:?}");
}

#[test]
fn a_crate_has_one_integration_test_binary() {
    let mut wrong = Vec::new();
    for package in packages() {
        let targets = package["targets"].as_array().unwrap();
        let tests: Vec<&Value> =
            targets.iter().filter(|target| target["kind"][0] == "test").map(|it| &it["name"]).collect();
        if tests.len() > 1 {
            wrong.push(format!(
                "{} has {tests:?}: each is linked on its own, which takes most of the time",
                package["name"]
            ));
        }
    }
    assert_none(&wrong);
}

/// One line of a manifest's dependencies.
struct Dependency {
    /// The depending crate of ours, by its short name.
    source: String,
    /// The name of the package depended on.
    target: String,
    is_for_development: bool,
}

fn dependencies() -> Vec<Dependency> {
    let mut all = Vec::new();
    for package in packages() {
        for dependency in package["dependencies"].as_array().unwrap() {
            all.push(Dependency {
                source: short_name(&package),
                target: dependency["name"].as_str().unwrap().to_owned(),
                is_for_development: dependency["kind"] == "dev",
            });
        }
    }
    all
}

fn package_names() -> Vec<String> {
    packages().iter().map(short_name).collect()
}

fn short_name(package: &Value) -> String {
    let name = package["name"].as_str().unwrap();
    name.strip_prefix("backstay-").expect("every package is called backstay-...").to_owned()
}

fn packages() -> Vec<Value> {
    let text = output("cargo", &["metadata", "--locked", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

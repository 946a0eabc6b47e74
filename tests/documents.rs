//! `-o json` of every command is a document, and holds what docs/reference/json.md names.

use serde_json::Value;

use crate::world::World;

/// Fields that a document must have; docs/reference/json.md lists them.
fn assert_fields(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "{field} is missing in {document:#}");
    }
}

const SNAPSHOT: &[&str] = &[
    "id",
    "short_id",
    "kind",
    "source",
    "host",
    "user",
    "paths",
    "tags",
    "started",
    "finished",
    "program",
    "profile",
    "incomplete",
    "accepted",
    "flags",
    "expires",
    "holds",
    "parents",
    "items",
    "summary",
    "ledger",
];
const ITEM: &[&str] = &["path", "type", "size_bytes", "mode", "uid", "gid", "modified"];

#[test]
fn every_command_prints_its_document() {
    let world = World::new();
    let json = |arguments: &[&str]| world.backstay(&[arguments, &["-o", "json"]].concat()).succeeds().json();
    let data = world.text("data");
    let init = json(&["repo", "init"]);
    assert_fields(&init, &["repository", "location", "created", "create_if_absent"]);
    let backup = json(&["backup", "files", &data, "--tag", "daily", "--ttl", "30d"]);
    assert_fields(&backup, &["dry_run", "snapshot"]);
    assert_fields(&backup["snapshot"], SNAPSHOT);
    let first = backup["snapshot"]["id"].as_str().unwrap().to_owned();
    assert_eq!(json(&["backup", "files", &data, "--dry-run"])["dry_run"], true);
    world.write("data/added", b"x");
    json(&["backup", "files", &data]);
    let snapshots = json(&["snapshots"]);
    assert_eq!(snapshots.as_array().unwrap().len(), 2);
    assert_fields(&snapshots[0], SNAPSHOT);
    assert_eq!(snapshots[0]["tags"][0], "daily");
    assert!(snapshots[0]["expires"].as_str().unwrap() > snapshots[0]["started"].as_str().unwrap());
    let show = json(&["show", "latest"]);
    assert_fields(&show, SNAPSHOT);
    assert_fields(&show["ledger"], &["failed", "noted", "filtered", "entries"]);
    let summary_fields = [
        "files",
        "directories",
        "others",
        "size_bytes",
        "added",
        "changed",
        "unchanged",
        "read_bytes",
        "new_bytes",
        "stored_bytes",
        "duration_ms",
    ];
    assert_fields(&show["summary"], &summary_fields);
    assert_fields(&json(&["ls", "latest"])[0], ITEM);
    let found = json(&["find", "one.txt"]);
    assert_eq!(found.as_array().unwrap().len(), 2, "in both snapshots");
    assert_fields(&found[0], &[ITEM, &["snapshot"]].concat());
    assert_eq!(json(&["find", "nothing"]), Value::Array(Vec::new()));
    let diff = json(&["diff", &first, "latest"]);
    assert_fields(&diff, &["before", "after", "changes", "summary"]);
    assert_eq!((&diff["changes"][0]["change"], &diff["summary"]["added"]), (&"+".into(), &1.into()));
    assert_fields(&diff["changes"][0]["after"], ITEM);
    let restore = json(&["restore", "files", "latest", "--target", &world.text("out")]);
    let restore_fields = [
        "dry_run",
        "snapshot",
        "target",
        "created",
        "updated",
        "unchanged",
        "left",
        "deleted",
        "failed",
        "damaged",
        "written_bytes",
        "problems",
        "notes",
    ];
    assert_fields(&restore, &restore_fields);
    let plan = json(&["restore", "files", "latest", "--target", &world.text("out2"), "--dry-run"]);
    assert_fields(&plan["plan"][0], &["action", "path"]);
    let info_fields = [
        "repository",
        "location",
        "created",
        "format_version",
        "features",
        "create_if_absent",
        "copy",
        "compression_level",
        "pack_bytes",
        "pack_bytes_max",
        "log_entries",
        "snapshots",
        "sources",
        "index_segments",
        "keys",
    ];
    assert_fields(&json(&["repo", "info"]), &info_fields);
    let stats = json(&["repo", "stats"]);
    let stats_fields = [
        "snapshots",
        "snapshots_files",
        "snapshots_bytes",
        "data",
        "trees",
        "duplicate_records",
        "duplicate_stored_bytes",
        "index_segments",
        "deduplication_ratio",
        "compression_ratio",
        "total_ratio",
    ];
    assert_fields(&stats, &stats_fields);
    assert_fields(&stats["data"], &["records", "plain_bytes", "stored_bytes", "packs"]);
    for level in ["list", "structure", "full"] {
        let check = json(&["repo", "check", "--level", level]);
        let check_fields = [
            "level",
            "clean",
            "snapshots",
            "packs",
            "pack_bytes",
            "segments",
            "log_entries",
            "records",
            "nodes",
            "records_read",
            "unused_packs",
            "unused_bytes",
            "passing_faults",
            "findings",
        ];
        assert_fields(&check, &check_fields);
        assert_eq!((&check["level"], &check["clean"]), (&level.into(), &true.into()));
    }
    assert_fields(&json(&["repo", "scrub"]), &["clean", "objects", "bytes", "passing_faults", "foreign", "findings"]);
    assert_fields(&json(&["repo", "key", "list"])[0], &["id", "label", "created", "role"]);
}

#[test]
fn yaml_is_the_same_document_and_names_stand_alone() {
    let world = World::with_repository();
    let id = world.backup();
    let yaml = world.backstay(&["snapshots", "-o", "yaml"]).succeeds().stdout;
    assert!(
        yaml.starts_with(
            "- accepted: true
"
        ),
        "{yaml}"
    );
    assert!(
        yaml.contains(&format!(
            "
  id: \"{id}\"
"
        )) || yaml.contains(&format!(
            "
  id: {id}
"
        )),
        "{yaml}"
    );
    assert_eq!(world.backstay(&["snapshots", "-o", "name"]).succeeds().stdout, format!("{id}\n"));
    world.backstay(&["snapshots", "-o", "wide"]).succeeds().prints(&["HOST", "EXPIRES", &id]);
}

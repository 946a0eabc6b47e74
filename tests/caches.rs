//! The local index is a cache: whatever happens to it, nothing is lost and nobody has to act.

use std::fs;
use std::path::PathBuf;

use crate::world::{World, files_below, noise};

fn indexes(world: &World) -> Vec<PathBuf> {
    let files = files_below(&world.path("home/.cache/backstay"));
    files.into_iter().filter(|path| path.to_str().unwrap().ends_with(".sqlite")).collect()
}

fn assert_usable(world: &World) {
    let letter = format!("latest:{}/letters/one.txt", world.text("data"));
    world.backstay(&["cat", &letter]).succeeds().prints(&["Dear Ishmael"]);
    let backup = world.backstay(&["backup", "files", "--rehash", "-o", "json", &world.text("data")]).succeeds().json();
    let new_bytes = backup["snapshot"]["summary"]["new_bytes"].as_u64().unwrap();
    assert!(new_bytes < 16 << 10, "what is stored is found again: {new_bytes}");
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn an_index_of_rubbish_is_built_anew() {
    let world = World::with_repository();
    world.backup();
    for rubbish in [Vec::new(), b"SQLite format 3\0".to_vec(), noise(3, 100_000)] {
        let indexes = indexes(&world);
        assert_eq!(indexes.len(), 1);
        for extra in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{extra}", indexes[0].display()));
        }
        fs::write(&indexes[0], &rubbish).unwrap();
        assert_usable(&world);
    }
}

#[test]
fn a_deleted_cache_costs_only_time() {
    let world = World::with_repository();
    world.backup();
    fs::remove_dir_all(world.path("home/.cache")).unwrap();
    assert_usable(&world);
}

#[test]
fn the_index_of_another_repository_is_not_believed() {
    let world = World::with_repository();
    world.backup();
    let own = indexes(&world).remove(0);
    let other = World::with_repository();
    other.write("data/noise.bin", &noise(2, 1 << 20));
    other.backup();
    fs::copy(indexes(&other).remove(0), &own).unwrap();
    assert_usable(&world);
}

#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let world = World::with_repository();
    world.backup();
    // A file is where the folder should be.
    world.write("not-a-folder", b"");
    let letter = format!("latest:{}/letters/one.txt", world.text("data"));
    world.backstay(&["cat", &letter, "--cache-dir", &world.text("not-a-folder")]).succeeds().prints(&["Dear Ishmael"]);
}

#[test]
fn without_a_cache_nothing_is_kept_on_this_machine() {
    let world = World::new();
    world.backstay(&["repo", "init", "--no-cache"]).succeeds();
    world.backstay(&["backup", "files", "--no-cache", &world.text("data")]).succeeds();
    world.backstay(&["repo", "check", "--read-data", "--no-cache"]).succeeds();
    assert!(!world.path("home").exists());
    world.backstay(&["snapshots", "--cache-dir", &world.text("elsewhere")]).succeeds();
    assert!(!world.path("home").exists() && world.path("elsewhere").exists());
}

#[test]
fn nobody_else_may_read_the_cache() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with_repository();
    world.backup();
    let index = indexes(&world).remove(0);
    assert_eq!(fs::metadata(&index).unwrap().permissions().mode() & 0o077, 0);
}

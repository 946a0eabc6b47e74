//! Two machines, each with a cache of its own, work on one repository: what one has done the other learns from the store.

use std::fs;

use crate::world::{Run, World, noise};

struct Host<'w> {
    world: &'w World,
    cache: String,
    data: String,
}

impl<'w> Host<'w> {
    /// Each backs a folder of its own up, under a name of its own.
    fn new(world: &'w World, name: &str) -> Self {
        world.write(&format!("{name}/letter.txt"), format!("Dear {name}.\n").as_bytes());
        Self { world, cache: world.text(&format!("cache-of-{name}")), data: name.to_owned() }
    }

    fn backstay(&self, arguments: &[&str]) -> Run {
        self.world.backstay(&[arguments, &["--cache-dir", &self.cache]].concat())
    }

    /// Backs its folder up; the snapshot, and how many bytes were new.
    fn backup(&self) -> (String, u64) {
        let source = ["--source", &self.data, "--host", &self.data];
        let folder = self.world.text(&self.data);
        let run = self.backstay(&[&["backup", "files", "--rehash", "-o", "json", &folder][..], &source].concat());
        let snapshot = &run.succeeds().json()["snapshot"];
        (snapshot["id"].as_str().unwrap().to_owned(), snapshot["summary"]["new_bytes"].as_u64().unwrap())
    }

    fn listed(&self) -> Vec<String> {
        let run = self.backstay(&["snapshots", "-o", "name"]).succeeds();
        run.stdout.lines().map(str::to_owned).collect()
    }

    fn assert_restores(&self, snapshot: &str, data: &str) {
        let _ = fs::remove_dir_all(self.world.path("out"));
        let from = format!("{snapshot}:{}", self.world.text(data));
        self.backstay(&["restore", "files", &from, "--target", &self.world.text("out")]).succeeds();
        self.world.assert_equal(data, "out");
    }
}

#[test]
fn two_machines_with_caches_of_their_own_see_what_the_other_has_done() {
    let world = World::with_repository();
    let (one, two) = (Host::new(&world, "one"), Host::new(&world, "two"));
    world.write("one/shared.bin", &noise(21, 1 << 20));
    world.write("two/shared.bin", &noise(21, 1 << 20));
    let (of_one, new_of_one) = one.backup();
    let (of_two, new_of_two) = two.backup();
    assert!(new_of_one > 1 << 20 && new_of_two < 64 << 10, "it is stored once: {new_of_one}, {new_of_two}");
    for host in [&one, &two] {
        assert_eq!(host.listed(), [&of_one[..], &of_two]);
        host.assert_restores(&of_one, "one");
        host.assert_restores(&of_two, "two");
    }

    // What only the first machine still needs loses its last snapshot at the hands of the second one.
    two.backstay(&["forget", "--force", &of_one, &of_two]).succeeds();
    two.backstay(&["repo", "gc", "--grace", "0s"]).succeeds().prints(&["freed "]);
    assert_eq!(world.objects("packs"), [""; 0].map(std::path::PathBuf::from));
    let (of_two, new_of_two) = two.backup();
    assert!(new_of_two > 1 << 20, "nothing was left to share: {new_of_two}");
    two.backstay(&["repo", "check", "--read-data"]).succeeds();
    assert_eq!(one.listed(), [&of_two[..]]);
    // By the first machine's cache its snapshot is still the parent, and everything is stored.
    one.backstay(&["show", &of_one]).ends_with(1).says(&["no snapshot"]);
    let (of_one, _) = one.backup();
    for host in [&two, &one] {
        assert_eq!(host.listed(), [&of_two[..], &of_one]);
        host.assert_restores(&of_one, "one");
        host.assert_restores(&of_two, "two");
        host.backstay(&["repo", "check", "--read-data"]).succeeds().prints(&["no damage: 2 snapshots"]);
    }

    // By turns, each forgets and collects what the other's cache still knows.
    for turn in 0..4u64 {
        let (host, other) = if turn % 2 == 0 { (&one, &two) } else { (&two, &one) };
        for own in ["one", "two"] {
            world.write(&format!("{own}/turn.bin"), &noise(30 + turn / 2, 400_000));
        }
        host.backup();
        other.backup();
        host.backstay(&["forget", "--keep-last", "1"]).succeeds();
        host.backstay(&["repo", "gc", "--grace", "0s"]).succeeds();
        let listed = other.listed();
        assert_eq!(listed.len(), 2);
        for (snapshot, data) in listed.iter().zip([&host.data, &other.data]) {
            other.assert_restores(snapshot, data);
            host.assert_restores(snapshot, data);
        }
        other.backstay(&["repo", "check", "--read-data"]).succeeds();
    }
}

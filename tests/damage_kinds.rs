//! Every kind of stored object, damaged in every way that disks, copies and careless hands know.
//!
//! Each is found and named, with exit code 5; what it does not touch restores, byte for byte; and when the bytes are put back, all
//! is well. What becomes of the files that are touched is in `damage`.

use std::fs;
use std::path::{Path, PathBuf};

use backstay_testkit::kill;

use crate::world::{Run, World, noise};

const LAST_ENTRY: &str = "last log entry";
const KEY_SLOT: &str = "key slot of another";
const WRITER: &str = "record of a writer";

/// A repository with a snapshot of each of three sources that share nothing, and one stored object of each kind.
struct Scene {
    world: World,
    /// Of the third source. Of all victims only the log has to do with it.
    untouched: String,
    victims: Vec<Victim>,
}

struct Victim {
    kind: &'static str,
    path: PathBuf,
    /// Bytes of another object of its kind.
    other: Option<Vec<u8>>,
    needed_by: Who,
}

impl Victim {
    fn new(kind: &'static str, path: &Path, other: Option<&PathBuf>, needed_by: Who) -> Self {
        Self { kind, path: path.to_owned(), other: other.map(|other| fs::read(other).unwrap()), needed_by }
    }
}

/// Who cannot open the repository while an object is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    /// Machines without a local index.
    Newcomers,
    /// A machine that remembers the log compares its end with the store's.
    Everybody,
}

/// What happened to an object.
#[derive(Debug)]
enum Damage {
    Flip(usize),
    Cut(usize),
    Replace(Vec<u8>),
    Remove,
}

impl Damage {
    /// In each part of an object: its head, the first record of a pack, the middle, a pack's directory, the hash at its end.
    fn of(victim: &Victim) -> Vec<Self> {
        let len = fs::metadata(&victim.path).unwrap().len() as usize;
        let places = [0, 5, 60, len / 2, len - 50, len - 1];
        let damages = places.map(Self::Flip).into_iter().chain([len / 2, 0].map(Self::Cut)).chain([Self::Remove]);
        damages.chain(victim.other.clone().map(Self::Replace)).collect()
    }

    fn happens_to(&self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::Flip(place) => bytes[*place] ^= 0x10,
            Self::Cut(len) => bytes.truncate(*len),
            Self::Replace(other) => bytes.clone_from(other),
            Self::Remove => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

impl Scene {
    fn new() -> Self {
        let world = World::with_repository();
        let keys = world.objects("keys");
        world.write("other-key", &[8; 32]);
        world.backstay(&["repo", "key", "add", "--new-key-file", &world.text("other-key")]).succeeds();
        let other_key = world.objects("keys").into_iter().find(|key| !keys.contains(key)).unwrap();
        let [mut packs, mut segments] = [Vec::new(), Vec::new()];
        let mut untouched = String::new();
        for (seed, source) in [(11, "first"), (12, "second"), (13, "third")] {
            world.write(&format!("{source}/file"), &noise(seed, 300_000));
            let before = [world.objects("packs"), world.objects("index")];
            let run = world.backstay(&["backup", "files", "-o", "name", &world.text(source)]).succeeds();
            run.stdout.trim().clone_into(&mut untouched);
            let [mut new_packs, new_segments] =
                [("packs", &before[0]), ("index", &before[1])].map(|(folder, before)| {
                    let objects = world.objects(folder).into_iter().filter(|object| !before.contains(object));
                    objects.collect::<Vec<_>>()
                });
            new_packs.sort_by_key(|path| fs::metadata(path).unwrap().len());
            assert_eq!((new_packs.len(), new_segments.len()), (2, 1), "trees and data, and what names them");
            packs.extend(new_packs);
            segments.extend(new_segments);
        }
        // A backup that died leaves the record of its writer.
        world.write("large", &noise(14, 8 << 20));
        for event in 1.. {
            let mut dying = world.command(&["backup", "files", &world.text("large")]);
            assert!(kill::at_event(&world.path("repo/packs"), &mut dying, event).was_killed(), "event {event}");
            if !world.objects("writers").is_empty() {
                break;
            }
        }
        let writers = world.objects("writers");
        let log = world.objects("log");
        let victims = vec![
            Victim::new("config", &world.path("repo/config"), None, Who::Nobody),
            Victim::new("copy of the config", &world.path("repo/config-copy"), None, Who::Nobody),
            Victim::new(KEY_SLOT, &other_key, None, Who::Nobody),
            Victim::new(WRITER, &writers[0], None, Who::Nobody),
            Victim::new("first log entry", &log[0], Some(&log[1]), Who::Newcomers),
            Victim::new("log entry in the middle", &log[1], Some(&log[0]), Who::Newcomers),
            Victim::new(LAST_ENTRY, &log[2], Some(&log[1]), Who::Everybody),
            Victim::new("index segment", &segments[0], Some(&segments[1]), Who::Newcomers),
            Victim::new("pack of trees", &packs[0], Some(&packs[2]), Who::Nobody),
            Victim::new("pack of data", &packs[1], Some(&packs[3]), Who::Nobody),
        ];
        Self { world, untouched, victims }
    }

    fn restore(&self, more: &[&str]) -> Run {
        let _ = fs::remove_dir_all(self.world.path("out"));
        let snapshot = format!("{}:{}", self.untouched, self.world.text("third"));
        let target = self.world.text("out");
        self.world.backstay(&[&["restore", "files", &snapshot, "--target", &target][..], more].concat())
    }

    fn assert_found(&self, victim: &Victim, damage: &Damage) {
        let name = victim.path.strip_prefix(self.world.path("repo")).unwrap().to_str().unwrap();
        let context = format!("{}, {damage:?}", victim.kind);
        // A record of a running writer is looked at by nobody whom it could mislead.
        if victim.kind != WRITER {
            let check = self.world.backstay(&["repo", "check", "--read-data", "-o", "name"]);
            let is_named = check.stdout.lines().any(|line| line == name);
            let is_said = victim.needed_by == Who::Everybody && check.stderr.contains(name);
            assert!(check.code == 5 && (is_named || is_said), "{context}: {check:?}");
        }
        // Without a key nobody can tell that an intact object is in another's place, or should be there at all.
        let is_intact = victim.path.exists() && matches!(damage, Damage::Replace(_)) && victim.kind.contains("log");
        if !is_intact && !matches!(damage, Damage::Remove) {
            let scrub = Run::of(&mut self.world.command_without_secret(&["repo", "scrub", "-o", "name"]));
            assert_eq!((scrub.code, &scrub.stdout[..]), (5, &format!("{name}\n")[..]), "{context}");
        }
        for (cache, fails) in [(&[][..], Who::Everybody), (&["--no-cache"], Who::Newcomers)] {
            let restore = self.restore(cache);
            if victim.needed_by == Who::Nobody || (victim.needed_by == Who::Newcomers && fails == Who::Everybody) {
                assert_eq!(restore.code, 0, "{context}: {restore:?}");
                self.world.assert_equal("third", "out");
            } else {
                assert!(matches!(restore.code, 1 | 5), "{context}: {restore:?}");
                restore.says(&["error: ", "hint: ", "`backstay repo "]);
            }
        }
    }
}

#[test]
fn whatever_happens_to_an_object_of_any_kind_is_found_and_touches_nothing_else() {
    let scene = Scene::new();
    for victim in &scene.victims {
        let intact = fs::read(&victim.path).unwrap();
        for damage in Damage::of(victim) {
            // What nothing else names is not missed. For the log's end the store's durability is trusted (docs/design/0002,
            // section 11); key slots and writers' records are removed as a matter of course.
            let is_unnamed = matches!(victim.kind, LAST_ENTRY | KEY_SLOT | WRITER);
            if is_unnamed && matches!(damage, Damage::Remove) {
                continue;
            }
            damage.happens_to(&victim.path);
            scene.assert_found(victim, &damage);
            fs::write(&victim.path, &intact).unwrap();
        }
    }
    scene.world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

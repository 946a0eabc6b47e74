//! `kill -9` at any moment of any command: nothing is lost, nothing is left to clear by hand, and the next run just works.
//!
//! A life of a repository is a row of rounds. In each, a command is ended at a random one of its steps (an event in the folder
//! or a request to the bucket, see `backstay_testkit::kill`), in every third one beside another command that runs to its end.
//! After it the list must be what the answered commands made it, every listed snapshot must restore byte for byte, a check
//! of every byte must find nothing, and the same command must succeed at once.
//!
//! `BACKSTAY_KILLS` says how many are to be killed in each life, and `BACKSTAY_SEED` how they are chosen. A failure prints both.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};

use backstay_testkit::kill::{self, Ending, Moment, Relay};
use backstay_testkit::servers;

use crate::world::{Run, World, noise};

/// What is backed up: two sources, so that two backups at once are of different ones.
const SOURCES: [&str; 2] = ["data", "more"];
/// A policy keeps so many of each.
const KEPT: usize = 2;
/// Cache folders, as if of two machines.
const HOSTS: [&str; 2] = ["one", "two"];

#[test]
fn whatever_is_killed_over_a_directory_loses_nothing() {
    Life::over_a_directory().of_kills(number("BACKSTAY_KILLS", 30));
}

#[test]
fn whatever_is_killed_over_a_bucket_loses_nothing() {
    Life::over_a_bucket().of_kills(number("BACKSTAY_KILLS", 10));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Backup(&'static str),
    Forget,
    /// Without any grace: the worst moment for everybody else.
    Collect,
    Check,
}

/// Where the repository is, and how a command is ended in the middle.
enum Place {
    Directory,
    Bucket(Relay),
}

struct Snapshot {
    id: String,
    source: String,
    /// The folder with a copy of what was backed up.
    copy: String,
}

struct Life {
    world: World,
    place: Place,
    seed: u64,
    random: Random,
    /// Listed snapshots, from old to new.
    listed: Vec<Snapshot>,
    /// How many steps each command has when nobody ends it.
    steps: BTreeMap<Task, u32>,
    round: u32,
    killed: u32,
}

impl Life {
    fn over_a_directory() -> Self {
        Self::of(World::new(), Place::Directory)
    }

    fn over_a_bucket() -> Self {
        let bucket = servers::s3();
        let endpoint = bucket.options.endpoint.clone().unwrap();
        let relay = Relay::start(endpoint.strip_prefix("http://").unwrap().parse().unwrap());
        Self::of(World::with_bucket(&bucket), Place::Bucket(relay))
    }

    fn of(world: World, place: Place) -> Self {
        let seed = number("BACKSTAY_SEED", 5).into();
        let (listed, steps) = (Vec::new(), BTreeMap::new());
        let mut life = Self { world, place, seed, random: Random(seed), listed, steps, round: 0, killed: 0 };
        life.world.backstay(&["repo", "init"]).succeeds();
        // Whole runs of everything, to know how long they are.
        for task in
            [Task::Backup("data"), Task::Backup("more"), Task::Backup("data"), Task::Forget, Task::Collect, Task::Check]
        {
            life.round += 1;
            life.change(task);
            let ending = life.end_at(task, u32::MAX);
            life.steps.insert(task, ending.steps);
            Run::from_output(ending.output).succeeds();
            life.verify(&[task]);
        }
        life
    }

    fn of_kills(mut self, kills: u32) {
        while self.killed < kills {
            self.round += 1;
            assert!(self.round < 2 * kills + 20, "{} kills in {} rounds", self.killed, self.round);
            self.play_round();
        }
        self.leave_nothing();
    }

    fn play_round(&mut self) {
        let task = self.choose();
        let beside = Some(self.choose()).filter(|other| *other != task && self.random.below(3) == 0);
        let tried: Vec<Task> = [task].into_iter().chain(beside).collect();
        for task in &tried {
            self.change(*task);
        }
        let running = beside.map(|other| (other, self.start(other)));
        let step = 1 + self.random.below(self.steps[&task]);
        let ending = self.end_at(task, step);
        if ending.was_killed() {
            self.killed += 1;
        } else {
            Run::from_output(ending.output).succeeds();
            self.steps.insert(task, ending.steps);
        }
        if let Some((other, child)) = running {
            let run = Run::from_output(child.wait_with_output().unwrap());
            assert_eq!(run.code, 0, "{other:?} beside {task:?}: {run:?}");
        }
        self.verify(&tried);
        self.run(&self.arguments(task)).succeeds();
        self.take_note(&[task]);
    }

    fn choose(&mut self) -> Task {
        match self.random.below(10) {
            0..2 => Task::Backup("data"),
            2..4 => Task::Backup("more"),
            4..6 => Task::Forget,
            6..9 => Task::Collect,
            _ => Task::Check,
        }
    }

    fn arguments(&self, task: Task) -> Vec<String> {
        match task {
            Task::Backup(source) => {
                let folder = self.world.text(source);
                ["backup", "files", "--source", source, "--quiet", &folder].map(str::to_owned).to_vec()
            }
            Task::Forget => {
                let kept = KEPT.to_string();
                ["forget", "--keep-last", &kept, "--quiet"].map(str::to_owned).to_vec()
            }
            Task::Collect => ["repo", "gc", "--grace", "0s", "--quiet"].map(str::to_owned).to_vec(),
            Task::Check => ["repo", "check", "--quiet"].map(str::to_owned).to_vec(),
        }
    }

    /// Before a backup, its source changes, and a copy is kept of what it is then.
    fn change(&mut self, task: Task) {
        let Task::Backup(source) = task else { return };
        for _ in 0..=self.random.below(3) {
            let name = format!("{source}/{}.bin", self.random.below(6));
            let (seed, length) = (self.random.next(), 1 + self.random.below(300_000) as usize);
            match self.random.below(5) {
                // Something that an earlier snapshot may have.
                0 => self.world.write(&name, &noise(seed % 8, 200_000)),
                1 => drop(fs::remove_file(self.world.path(&name))),
                _ => self.world.write(&name, &noise(seed, length)),
            }
        }
        self.world.write(&format!("{source}/round"), self.round.to_string().as_bytes());
        let copy = self.copy(source);
        let _ = fs::remove_dir_all(self.world.path(&copy));
        for file in crate::world::files_below(&self.world.path(source)) {
            let name = file.strip_prefix(self.world.path(source)).unwrap().to_str().unwrap();
            self.world.write(&format!("{copy}/{name}"), &fs::read(&file).unwrap());
        }
    }

    fn copy(&self, source: &str) -> String {
        format!("copies/{source}-{}", self.round)
    }

    fn host(&mut self) -> String {
        self.world.text(HOSTS[self.random.below(2) as usize])
    }

    /// Runs it until this step.
    fn end_at(&mut self, task: Task, step: u32) -> Ending {
        let mut arguments = self.arguments(task);
        arguments.extend(["--cache-dir".to_owned(), self.host()]);
        let arguments: Vec<&str> = arguments.iter().map(|argument| &argument[..]).collect();
        match &self.place {
            Place::Directory => kill::at_event(&self.world.path("repo"), &mut self.world.command(&arguments), step),
            Place::Bucket(relay) => {
                let direct = self.world.endpoint.replace(relay.endpoint());
                let mut command = self.world.command(&arguments);
                self.world.endpoint = direct;
                let moments = [Moment::Before, Moment::Within, Moment::After];
                relay.at_request(&mut command, step, moments[self.random.below(3) as usize])
            }
        }
    }

    fn start(&mut self, task: Task) -> Child {
        let (arguments, host) = (self.arguments(task), self.host());
        let mut command = self.world.command(&["--cache-dir", &host]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, arguments: &[String]) -> Run {
        Run::of(self.world.command(&["--cache-dir", &self.world.text(HOSTS[0])]).args(arguments))
    }

    /// What must hold whatever happened to these.
    fn verify(&mut self, tried: &[Task]) {
        self.take_note(tried);
        let host = self.host();
        self.world.backstay(&["repo", "check", "--read-data", "--quiet", "--cache-dir", &host]).succeeds();
        for snapshot in &self.listed {
            let _ = fs::remove_dir_all(self.world.path("out"));
            let from = format!("{}:{}", snapshot.id, self.world.text(&snapshot.source));
            let target = self.world.text("out");
            self.world
                .backstay(&["restore", "files", &from, "--target", &target, "--quiet", "--cache-dir", &host])
                .succeeds();
            self.world.assert_equal(&snapshot.copy, "out");
        }
    }

    /// The list as it is now must be what these may have made of it.
    fn take_note(&mut self, tried: &[Task]) {
        let host = self.host();
        let document = self.world.backstay(&["snapshots", "-o", "json", "--cache-dir", &host]).succeeds().json();
        let found: Vec<(&str, &str)> = document
            .as_array()
            .unwrap()
            .iter()
            .map(|snapshot| (snapshot["id"].as_str().unwrap(), snapshot["source"].as_str().unwrap()))
            .collect();
        for (id, source) in &found {
            if !self.listed.iter().any(|snapshot| snapshot.id == *id) {
                let by = tried.iter().filter(|task| matches!(task, Task::Backup(of) if of == source)).count();
                assert_eq!(by, 1, "nobody has made {id} of {source}");
                let copy = self.copy(source);
                self.listed.push(Snapshot { id: (*id).to_owned(), source: (*source).to_owned(), copy });
            }
        }
        for source in SOURCES {
            let of_source = self.listed.iter().filter(|snapshot| snapshot.source == source);
            for snapshot in of_source.rev().take(KEPT) {
                assert!(found.iter().any(|(id, _)| *id == snapshot.id), "{} of {source} was to be kept", snapshot.id);
            }
        }
        let before = self.listed.len();
        self.listed.retain(|snapshot| found.iter().any(|(id, _)| *id == snapshot.id));
        let gone = before - self.listed.len();
        assert!(gone == 0 || tried.contains(&Task::Forget), "{gone} snapshots are gone, and nobody forgot them");
        if gone > 0 && tried.len() == 1 {
            assert!(self.listed.len() <= KEPT * SOURCES.len(), "a policy was applied by half");
        }
    }

    /// At the end of its life a repository holds what is listed and nothing else, however many runs were killed.
    fn leave_nothing(mut self) {
        self.run(&self.arguments(Task::Collect)).succeeds();
        self.verify(&[]);
        let report = self.world.backstay(&["repo", "check", "-o", "json"]).succeeds().json();
        assert_eq!(report["unused_packs"], 0, "{report}");
        let mut forget = vec!["forget".to_owned(), "--force".to_owned()];
        forget.extend(self.listed.drain(..).map(|snapshot| snapshot.id));
        self.run(&forget).succeeds();
        self.run(&self.arguments(Task::Collect)).succeeds();
        let report = self.world.backstay(&["repo", "check", "-o", "json"]).succeeds().json();
        assert_eq!((&report["packs"], &report["unused_packs"]), (&0.into(), &0.into()), "{report}");
        if matches!(self.place, Place::Directory) {
            assert_eq!(self.world.objects("packs"), [""; 0].map(std::path::PathBuf::from));
        }
        self.round += 1;
        self.change(Task::Backup("data"));
        self.run(&self.arguments(Task::Backup("data"))).succeeds();
        self.verify(&[Task::Backup("data")]);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Past the test's own capture, so that it is never lost.
            let _ = writeln!(
                std::io::stderr(),
                "in round {} with BACKSTAY_SEED={} BACKSTAY_KILLS={}",
                self.round,
                self.seed,
                self.killed + 1
            );
        }
    }
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The same numbers for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }
}

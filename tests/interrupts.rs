//! Ctrl-C: the first one saves what was done, the second one ends at once.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Run, World, noise};

/// A running program whose messages are read as they come.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    seen: String,
}

impl Running {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, seen: String::new() }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let read = self.stderr.read_line(&mut self.seen).unwrap();
            assert!(read > 0, "{text:?} was not said:\n{}", self.seen);
        }
    }

    fn finish(mut self) -> Run {
        self.stderr.read_to_string(&mut self.seen).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr = self.seen.into_bytes();
        Run::from_output(output)
    }
}

/// Until the program has got so far that there is something to save.
fn wait_for_first_pack(world: &World, running: &mut Running) {
    while std::fs::read_dir(world.path("repo/writers")).map_or(0, Iterator::count) == 0 {
        assert_eq!(running.child.try_wait().unwrap(), None, "it ended before the interrupt");
        #[expect(clippy::disallowed_methods, reason = "no event tells that another process has made a file")]
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn an_interrupted_backup_saves_its_progress_and_the_next_run_goes_on() {
    let world = World::with_repository();
    for number in 0..16 {
        world.write(&format!("data/{number:02}.bin"), &noise(100 + number, 8 << 20));
    }
    let data = world.text("data");
    // The store takes four seconds for all of it: the interrupt comes in time.
    let mut running = Running::start(&world, &["backup", "files", "--limit-upload", "32M", &data]);
    wait_for_first_pack(&world, &mut running);
    running.signal(Signal::INT);
    running.wait_for("interrupted: stopping at a safe place");
    running.finish().ends_with(130).says(&["error: interrupted", "hint: what was stored is kept"]);

    let snapshots = world.backstay(&["snapshots", "-o", "json"]).succeeds().json();
    assert_eq!((snapshots.as_array().unwrap().len(), &snapshots[0]["incomplete"]), (1, &true.into()));
    let saved = snapshots[0]["summary"]["new_bytes"].as_u64().unwrap();
    assert!(saved >= 30 << 20, "a pack at least was stored: {saved}");
    // What was saved is not yet a snapshot to rely on.
    world.backstay(&["show", "latest"]).ends_with(1).says(&["no snapshots"]);

    let second = world.backstay(&["backup", "files", "-o", "json", &data]).succeeds().json();
    let summary = &second["snapshot"]["summary"];
    let (new, all) = (summary["new_bytes"].as_u64().unwrap(), (16 * 8 + 3) << 20);
    // What was under way at that moment is read again.
    assert!(new + saved <= all + (8 << 20), "little is stored twice: {new} and {saved} of {all}");
    let left = world.backstay(&["snapshots", "-o", "json"]).succeeds().json();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["incomplete"]), (1, &false.into()), "{left}");
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
    world.backstay(&["restore", "files", &format!("latest:{data}"), "--target", &world.text("out")]).succeeds();
    world.assert_equal("data", "out");
}

#[test]
fn a_second_interrupt_ends_at_once_and_loses_nothing_that_was_committed() {
    let world = World::with_repository();
    let first = world.backup();
    world.write("data/large.bin", &noise(9, 40 << 20));
    // A store that takes half a minute for a pack.
    let mut running = Running::start(&world, &["backup", "files", "--limit-upload", "1M", &world.text("data")]);
    wait_for_first_pack(&world, &mut running);
    running.signal(Signal::TERM);
    running.wait_for("once more ends at once");
    running.signal(Signal::INT);
    running.finish().ends_with(130);
    assert_eq!(world.backstay(&["snapshots", "-o", "name"]).succeeds().stdout.trim(), first);
    world.backup();
    world.backstay(&["repo", "check", "--read-data"]).succeeds();
}

#[test]
fn looking_commands_end_at_the_first_interrupt() {
    use std::os::unix::process::ExitStatusExt;
    let world = World::with_repository();
    world.write("data/endless.bin", &noise(4, 4 << 20));
    world.backup();
    // Nobody reads what it prints, so it waits in the middle.
    let path = format!("latest:{}/endless.bin", world.text("data"));
    let mut child = world.command(&["cat", &path]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

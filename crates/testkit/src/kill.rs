//! Programs ended with SIGKILL in the middle of their work: at the n-th thing that they do to a folder, or at the n-th request.
//!
//! No time is waited for: a number says where a program ends, whatever the machine's speed. [`Relay`] is exact: the program's
//! request is held while it dies. [`at_event`] is not: the kernel tells what happened in a folder, and the program goes on
//! meanwhile, so that the same number ends two runs near the same place.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::servers::{Request, read_request};

/// A program that does nothing for so long hangs, and no story has an end where that is right.
const SILENCE_SECONDS: i64 = 120;

/// How a program ended.
#[derive(Debug)]
pub struct Ending {
    pub output: Output,
    /// Events or requests until then, the last one included.
    pub steps: u32,
}

impl Ending {
    /// Was it ended, or did it come to its own end first?
    pub fn was_killed(&self) -> bool {
        self.output.status.signal() == Some(Signal::KILL.as_raw())
    }
}

/// Runs a program and ends it at its n-th event below a folder: an object opened, made, written, closed or deleted, the folders and
/// the files on their way to their place included. What others do there counts too.
pub fn at_event(folder: &Path, command: &mut Command, event: u32) -> Ending {
    let mut watch = Watch::of(folder);
    let child = piped(command).spawn().expect("the program starts");
    let victim = handle(child.id());
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let queue = watch.inotify.try_clone().expect("a second handle");
    let mut events = inotify::Reader::new(&queue, &mut buffer);
    let mut steps = 0;
    loop {
        match events.next() {
            Ok(seen) => {
                steps += 1;
                if steps == event {
                    let _ = pidfd_send_signal(&victim, Signal::KILL);
                }
                if seen.events().contains(ReadFlags::CREATE | ReadFlags::ISDIR)
                    && let (Some(parent), Some(name)) = (watch.folders.get(&seen.wd()), seen.file_name())
                {
                    let made = parent.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                    watch.add(&made);
                }
            }
            Err(Errno::AGAIN) => {
                let mut ready = [PollFd::new(&queue, PollFlags::IN), PollFd::new(&victim, PollFlags::IN)];
                let limit = Timespec { tv_sec: SILENCE_SECONDS, tv_nsec: 0 };
                match poll(&mut ready, Some(&limit)) {
                    Err(Errno::INTR) => {}
                    Ok(0) => panic!("{command:?} has done nothing for {SILENCE_SECONDS} s"),
                    other => other.map(drop).expect("both can be waited for"),
                }
                if ready[0].revents().is_empty() && !ready[1].revents().is_empty() {
                    break;
                }
            }
            Err(error) => panic!("events below {}: {error}", folder.display()),
        }
    }
    Ending { output: child.wait_with_output().expect("its output"), steps }
}

/// Events in a folder and everything below it.
struct Watch {
    inotify: OwnedFd,
    folders: HashMap<i32, PathBuf>,
}

impl Watch {
    fn of(folder: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("a queue of events");
        let mut watch = Self { inotify, folders: HashMap::new() };
        watch.add(folder);
        watch
    }

    /// A folder that is gone again has nothing to watch.
    fn add(&mut self, folder: &Path) {
        let kinds = WatchFlags::OPEN
            | WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let Ok(number) = inotify::add_watch(&self.inotify, folder, kinds) else { return };
        self.folders.insert(number, folder.to_owned());
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path());
            }
        }
    }
}

/// Where a request stands when the program that made it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server never hears of it.
    Before,
    /// The server gets half of it.
    Within,
    /// The server has done it and answers, and nobody hears that.
    After,
}

/// Stands between programs and a server that speaks HTTP, passes everything on as it is, and can end a program at a request.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: u32,
    plan: Option<Plan>,
}

struct Plan {
    /// Counted from 1.
    request: u32,
    moment: Moment,
    victim: OwnedFd,
}

impl Relay {
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared { upstream, state: Mutex::default() });
        let serving = Arc::clone(&shared);
        // The threads end with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// The endpoint for the programs.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs a program and ends it at its n-th request. One program at a time goes through a relay.
    pub fn at_request(&self, command: &mut Command, request: u32, moment: Moment) -> Ending {
        let child = {
            // Its first request waits until the plan is made.
            let mut state = self.shared.state.lock();
            let child = piped(command).spawn().expect("the program starts");
            *state = State { requests: 0, plan: Some(Plan { request, moment, victim: handle(child.id()) }) };
            child
        };
        let output = child.wait_with_output().expect("its output");
        let mut state = self.shared.state.lock();
        state.plan = None;
        Ending { output, steps: state.requests }
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> Option<()> {
        let server = TcpStream::connect(self.upstream).ok()?;
        let (mut answers, mut answered) = (server.try_clone().ok()?, client.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut answered);
            let _ = answered.shutdown(Shutdown::Both);
        });
        let _ = self.pass_requests(&client, &server);
        let _ = client.shutdown(Shutdown::Both);
        server.shutdown(Shutdown::Both).ok()
    }

    fn pass_requests(&self, client: &TcpStream, mut server: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(client);
        loop {
            let bytes = raw(&read_request(&mut reader)?);
            let Some(plan) = self.due() else {
                server.write_all(&bytes).ok()?;
                continue;
            };
            // Over a connection of its own, whose answer goes nowhere.
            let mut apart = TcpStream::connect(self.upstream).ok()?;
            match plan.moment {
                Moment::Before => {}
                Moment::Within => apart.write_all(&bytes[..bytes.len() / 2]).ok()?,
                Moment::After => {
                    apart.write_all(&bytes).ok()?;
                    apart.read_exact(&mut [0]).ok()?;
                }
            }
            // One that ended meanwhile needs no end.
            let _ = pidfd_send_signal(&plan.victim, Signal::KILL);
            return None;
        }
    }

    /// Counts a request, and gives the plan when this is the one.
    fn due(&self) -> Option<Plan> {
        let mut state = self.state.lock();
        state.requests += 1;
        let requests = state.requests;
        state.plan.take_if(|plan| plan.request == requests)
    }
}

/// The request as it goes over the wire. Names of headers are as good in lower case, also where they are signed.
fn raw(request: &Request) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    [text.as_bytes(), &request.body].concat()
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// A process that can be told from a later one with the same number.
fn handle(child: u32) -> OwnedFd {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw).expect("the number of a process");
    pidfd_open(pid, PidfdFlags::empty()).expect("a child that was not waited for")
}

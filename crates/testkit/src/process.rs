//! Programs that run beside the tests: found, started on a free port, and gone with the test process however it ends.
//!
//! The programs are installed by `cargo xtask test` into its cache folder. One that is missing fails the test that needs it;
//! nothing is skipped.

use std::env;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A server of another process. It ends when this value is dropped, and with this process in any case.
pub(crate) struct Server {
    address: SocketAddr,
    folder: PathBuf,
    // Closing its input tells the watchdog to end the server.
    watchdog: Child,
}

impl Server {
    /// Starts a program on a free port with a folder of its own, and tries others when somebody else takes the port first.
    pub(crate) fn start(name: &str, command: impl Fn(u16, &Path) -> Command) -> Self {
        let mut log_text = String::new();
        for _ in 0..3 {
            let folder = TempDir::with_prefix(format!("backstay-{name}-")).expect("a temporary folder").keep();
            let port = free_port();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let log = folder.join("log");
            let mut watchdog = watched(&command(port, &folder), &folder, &log);
            let mut text = File::open(&log).expect("the file just made");
            if wait_for(address, &mut watchdog) {
                return Self { address, folder, watchdog };
            }
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
            // Removed by now, and still readable.
            log_text.clear();
            let _ = text.read_to_string(&mut log_text);
        }
        panic!("{name} does not start:\n{log_text}");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Removed with the server.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The end of what the server has printed.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Runs a command below a shell that ends it as soon as the shell's input is closed, which the kernel does for us when
/// this process dies, however it dies. The shell removes the server's folder then; it ends too when the command does. Nothing
/// is asked to end in good order: there is nothing to save, and an API server without its database would take a minute.
fn watched(command: &Command, folder: &Path, log: &Path) -> Child {
    const SCRIPT: &str = r#"
        folder=$1; shift
        exec 3<&0
        "$@" </dev/null 3<&- & server=$!
        (read -r _ <&3; kill -KILL "$server") 2>/dev/null & reader=$!
        exec 3<&-
        trap 'kill -KILL "$server" 2>/dev/null' INT TERM
        while kill -0 "$server" 2>/dev/null; do wait "$server"; done
        kill "$reader" 2>/dev/null
        rm -rf -- "$folder"
    "#;
    let log = File::create(log).expect("a file in a temporary folder");
    let errors = log.try_clone().expect("a second handle");
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "sh"]).arg(folder).arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::piped()).stdout(log).stderr(errors).spawn().expect("sh is everywhere")
}

/// True when somebody listens; false when the program ended instead, or takes longer than any machine should.
fn wait_for(address: SocketAddr, watchdog: &mut Child) -> bool {
    for _ in 0..1200 {
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        if !matches!(watchdog.try_wait(), Ok(None)) {
            return false;
        }
        #[expect(clippy::disallowed_methods, reason = "no event tells that another process listens")]
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("the address of a bound socket").port()
}

/// Where `cargo xtask test` installs what tests need.
pub(crate) fn tool(path: &str) -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
        env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("backstay-test")
    };
    let program = env::var_os("BACKSTAY_TEST_TOOLS").map_or_else(cache, PathBuf::from).join(path);
    assert!(program.exists(), "{} is missing: run `cargo xtask test`, which installs it", program.display());
    program
}

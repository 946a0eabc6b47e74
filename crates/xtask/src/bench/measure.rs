//! Runs one command and takes its wall time, processor time and peak memory, children included.
//!
//! The standard library cannot say how much memory a child used, so this file asks the kernel itself: it holds the only
//! unsafe code of the crate.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::command::line;

#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) peak_memory_bytes: u64,
}

/// Runs the command with its output in `log`; an error shows the end of it.
pub(super) fn measure(command: &mut Command, log: &Path) -> Result<Measurement> {
    let open = || File::create(log).and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = open().map_err(|cause| format!("cannot write {}: {cause}", log.display()))?;
    command.stdin(std::process::Stdio::null()).stdout(stdout).stderr(stderr);

    let start = Instant::now();
    let child = command.spawn().map_err(|cause| format!("cannot start `{}`: {cause}", line(command)))?;
    let (status, usage) = wait(child.id());
    let wall = start.elapsed();

    if status != 0 {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let tail = text.lines().rev().take(20).collect::<Vec<_>>();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(format!("`{}` ended with status {status:#x}\n{tail}", line(command)));
    }
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.unsigned_abs()) + Duration::from_micros(value.tv_usec.unsigned_abs())
    };
    Ok(Measurement {
        wall,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak_memory_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
    })
}

/// Waits for a child of this process and returns its wait status and what it used.
fn wait(pid: u32) -> (i32, libc::rusage) {
    let mut status = 0;
    // SAFETY: all zeroes is a valid `rusage`: it holds integers only.
    #[expect(unsafe_code, reason = "the standard library has no wait4")]
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live variables of the types that wait4 writes.
        #[expect(unsafe_code, reason = "the standard library has no wait4")]
        let waited = unsafe { libc::wait4(pid as libc::pid_t, &raw mut status, 0, &raw mut usage) };
        if waited == pid as libc::pid_t {
            return (status, usage);
        }
        let cause = std::io::Error::last_os_error();
        assert_eq!(
            cause.kind(),
            std::io::ErrorKind::Interrupted,
            "the child is ours and nobody else waits for it: {cause}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_memory_of_a_child_is_its_own() {
        let log = std::env::temp_dir().join(format!("backstay-measure-{}", std::process::id()));
        let hundred_mib = "x=$(head -c 100M /dev/zero | tr '\\0' a); test ${#x} -gt 0";
        let measured = measure(Command::new("sh").args(["-c", hundred_mib]), &log).unwrap();
        let small = measure(&mut Command::new("true"), &log).unwrap();
        let failed = measure(Command::new("sh").args(["-c", "echo broken; exit 3"]), &log).unwrap_err();
        std::fs::remove_file(&log).unwrap();

        assert!(measured.peak_memory_bytes >= 100 << 20, "{measured:?}");
        assert!(small.peak_memory_bytes < 50 << 20, "{small:?}");
        assert!(failed.ends_with("status 0x300\nbroken"), "{failed}");
    }
}

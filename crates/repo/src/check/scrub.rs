//! Scrub: every stored object against its own hash, without a password.
//!
//! A pack or segment is named by the hash of its bytes; everything else ends with one. So a machine that must not read
//! the data can still prove that it is intact.

use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_format::config::check_hash_line;
use backstay_format::crypto::stored_hash;
use backstay_format::envelope::{self, EnvelopeKind};
use parking_lot::Mutex;

use super::Finding;
use crate::error::{RepoError, Result};
use crate::names;
use crate::progress::Progress;
use crate::protocol;
use crate::store::{ObjectInfo, Store};

/// What a scrub saw.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ScrubReport {
    pub objects: u64,
    pub bytes: u64,
    pub passing_faults: u64,
    /// Objects that no rule of the format explains; they are left alone.
    pub foreign: Vec<String>,
    pub findings: Vec<Finding>,
}

/// Reads everything once.
pub fn scrub(store: &Store, threads: usize, progress: &Progress) -> Result<ScrubReport> {
    let objects = store.list("")?;
    if !objects.iter().any(|object| object.name == names::CONFIG || object.name == names::CONFIG_COPY) {
        return Err(RepoError::NoRepository { location: store.location().to_owned() });
    }
    Progress::add(&progress.items_total, objects.len() as u64);
    Progress::add(&progress.bytes_total, objects.iter().map(|object| object.size_bytes).sum());
    progress.totals_known.store(true, Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let report = Mutex::new(ScrubReport::default());
    let work = || -> Result<()> {
        while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let verdict = match verify(store, object)? {
                Verdict::Damaged(_) => match verify(store, object)? {
                    Verdict::Intact => Verdict::Passing,
                    again => again,
                },
                first => first,
            };
            Progress::add(&progress.items_done, 1);
            Progress::add(&progress.bytes_done, object.size_bytes);
            let mut report = report.lock();
            report.objects += 1;
            report.bytes += object.size_bytes;
            match verdict {
                Verdict::Intact => {}
                Verdict::Passing => report.passing_faults += 1,
                Verdict::Foreign => report.foreign.push(object.name.clone()),
                Verdict::Damaged(problem) => report.findings.push(Finding {
                    object: object.name.clone(),
                    problem,
                    records: 0,
                    snapshots: Vec::new(),
                    paths: Vec::new(),
                    paths_more: 0,
                }),
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("scrubbing does not panic"))
    })?;
    let mut report = report.into_inner();
    report.findings.sort_by(|a, b| a.object.cmp(&b.object));
    report.foreign.sort();
    Ok(report)
}

enum Verdict {
    Intact,
    Passing,
    Foreign,
    Damaged(String),
}

fn verify(store: &Store, object: &ObjectInfo) -> Result<Verdict> {
    let name = &object.name[..];
    let rule = Rule::of(name);
    if matches!(rule, Rule::Foreign) {
        return Ok(Verdict::Foreign);
    }
    let bytes = match store.get(name) {
        Ok(bytes) => bytes,
        // Deleted since it was listed: by a collection, or a writer that has ended.
        Err(error) if error.kind() == crate::store::ErrorKind::NotFound => return Ok(Verdict::Intact),
        Err(error) => return Err(error.into()),
    };
    let result = match rule {
        Rule::NamedByHash(id) if stored_hash(&bytes) == id => Ok(()),
        Rule::NamedByHash(_) => return Ok(Verdict::Damaged("its bytes are not those its name says".to_owned())),
        Rule::Text(what) => check_hash_line(what, &bytes).map(|_| ()),
        Rule::Envelope(kind) => envelope::verify(kind, &bytes),
        Rule::Reserve | Rule::Foreign => Ok(()),
    };
    Ok(match result {
        Ok(()) => Verdict::Intact,
        Err(error) => Verdict::Damaged(error.to_string()),
    })
}

enum Rule {
    NamedByHash([u8; 32]),
    Text(&'static str),
    Envelope(EnvelopeKind),
    Reserve,
    Foreign,
}

impl Rule {
    fn of(name: &str) -> Self {
        if let Some(id) = names::pack_of(name) {
            return Self::NamedByHash(*id.as_bytes());
        }
        if let Some(id) = names::segment_of(name) {
            return Self::NamedByHash(*id.as_bytes());
        }
        if let Some(id) = names::key_of(name) {
            return Self::NamedByHash(*id.as_bytes());
        }
        if name == names::CONFIG || name == names::CONFIG_COPY {
            return Self::Text("the config");
        }
        if name == names::COPY {
            return Self::Text("the mark of a copy");
        }
        if name.starts_with(names::QUARANTINE) {
            return Self::Reserve;
        }
        if protocol::entry_slot(name).is_some() {
            return Self::Envelope(EnvelopeKind::LogEntry);
        }
        if name == names::DAMAGE {
            return Self::Envelope(EnvelopeKind::Damaged);
        }
        if names::check_result_of(name).is_some() {
            return Self::Envelope(EnvelopeKind::AuditResults);
        }
        if names::scrub_result_of(name).is_some() {
            return Self::Text("a result of an audit");
        }
        if name.starts_with(names::WRITERS) {
            return Self::Envelope(EnvelopeKind::Writer);
        }
        if name == names::RESERVE {
            return Self::Reserve;
        }
        Self::Foreign
    }
}

//! Scrub: every stored object against its own hash, without a password.
//!
//! A pack or segment is named by the hash of its bytes; everything else ends with one. So a machine that must not read
//! the data can still prove that it is intact. What it saw of packs it saves as text, and a check takes that over.

use std::sync::atomic::{AtomicUsize, Ordering};

use backstay_format::audit::Depth;
use backstay_format::config::check_hash_line;
use backstay_format::crypto::stored_hash;
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::PackId;
use parking_lot::Mutex;

use super::impact::mend;
use super::saved::{self, Saved};
use super::select::Chosen;
use super::{Coverage, Finding, Limits};
use crate::clock::Clock;
use crate::crew;
use crate::error::{RepoError, Result, with_causes};
use crate::names;
use crate::progress::Progress;
use crate::protocol;
use crate::store::{ObjectInfo, Store};

/// What a scrub covers: everything but packs, and packs as the limits say.
#[derive(Debug, Clone)]
pub struct ScrubOptions {
    pub limits: Limits,
    pub threads: usize,
}

/// What a scrub saw.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ScrubReport {
    /// Read by this run.
    pub objects: u64,
    pub bytes: u64,
    pub passing_faults: u64,
    /// Objects that no rule of the format explains; they are left alone.
    pub foreign: Vec<String>,
    pub findings: Vec<Finding>,
    /// How much was verified when, by this run and by earlier ones without a password.
    pub coverage: Vec<Coverage>,
}

/// Reads everything once, and saves nothing.
pub fn scrub(store: &Store, threads: usize, progress: &Progress) -> Result<ScrubReport> {
    let options = ScrubOptions { limits: Limits::default(), threads };
    let mut report = ScrubReport::default();
    run(store, &Clock::system(), &options, progress, &mut Saved::default(), &mut report)?;
    Ok(report)
}

/// Reads what the options say, goes on where earlier scrubs stopped, and saves what it saw; also when it is interrupted.
///
/// # Errors
/// What keeps the scrub from going on. The second result says why nothing could be saved, which changes nothing of the report.
pub fn audit_scrub(
    store: &Store,
    clock: &Clock,
    options: &ScrubOptions,
    progress: &Progress,
) -> Result<(ScrubReport, Option<RepoError>)> {
    let mut saved = saved::read(store, None)?;
    // They are read again below, and told.
    saved.damaged.clear();
    let mut report = ScrubReport::default();
    let outcome = run(store, clock, options, progress, &mut saved, &mut report);
    let unsaved = saved.save(store, None).err();
    outcome?;
    Ok((report, unsaved))
}

fn run(
    store: &Store,
    clock: &Clock,
    options: &ScrubOptions,
    progress: &Progress,
    saved: &mut Saved,
    report: &mut ScrubReport,
) -> Result<()> {
    let (mut packs, mut objects) = (Vec::new(), Vec::new());
    for object in store.list("")? {
        match names::pack_of(&object.name) {
            Some(id) => packs.push((id, object.size_bytes)),
            None => objects.push(object),
        }
    }
    if !objects.iter().any(|object| object.name == names::CONFIG || object.name == names::CONFIG_COPY) {
        return Err(RepoError::NoRepository { location: store.location().to_owned() });
    }
    let is_copy = objects.iter().any(|object| object.name == names::COPY);
    packs.sort_unstable();
    let now = clock.now().as_second().max(0).cast_unsigned();
    saved.retain(|pack| packs.binary_search_by_key(pack, |(id, _)| *id).is_ok());
    let is_bad = |id: &PackId| saved.bad_since(id).is_some();
    let chosen = Chosen::new(packs.iter().copied(), &is_bad, saved, &options.limits, Depth::Bytes, now);
    let other_bytes: u64 = objects.iter().map(|object| object.size_bytes).sum();
    Progress::add(&progress.items_total, (objects.len() + chosen.iter().count()) as u64);
    Progress::add(&progress.bytes_total, other_bytes + chosen.bytes());
    progress.totals_known.store(true, Ordering::Relaxed);
    let deadline = options.limits.max_duration.and_then(|limit| clock.now().checked_add(limit).ok());
    let is_late = || deadline.is_some_and(|deadline| clock.now() >= deadline);
    // The small ones first: there is no repository without them.
    let packs_chosen: Vec<_> = chosen.iter().collect();
    let next = AtomicUsize::new(0);
    let seen = Mutex::new((&mut *report, Vec::new()));
    let work = || -> Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (object, pack) = match objects.get(at) {
                Some(object) => (object.clone(), None),
                None => match packs_chosen.get(at - objects.len()).filter(|_| !is_late()) {
                    Some(&&(id, size_bytes)) => {
                        (ObjectInfo { name: names::pack(&id), size_bytes, modified_unix_seconds: 0 }, Some(id))
                    }
                    None => return Ok(()),
                },
            };
            if progress.is_cancelled() {
                return Err(RepoError::Interrupted);
            }
            let verdict = match verify(store, &object)? {
                Verdict::Damaged(_) => match verify(store, &object)? {
                    Verdict::Intact => Verdict::Passing,
                    again => again,
                },
                first => first,
            };
            Progress::add(&progress.items_done, 1);
            Progress::add(&progress.bytes_done, object.size_bytes);
            let (report, verdicts) = &mut *seen.lock();
            report.objects += 1;
            report.bytes += object.size_bytes;
            match (pack, &verdict) {
                (None, _) | (_, Verdict::Gone | Verdict::Foreign) => {}
                (Some(id), _) => verdicts.push((id, !matches!(verdict, Verdict::Damaged(_)))),
            }
            match verdict {
                Verdict::Intact | Verdict::Gone => {}
                Verdict::Passing => report.passing_faults += 1,
                Verdict::Foreign => report.foreign.push(object.name.clone()),
                Verdict::Damaged(problem) => report.findings.push(finding(object.name.clone(), problem, is_copy)),
            }
        }
    };
    let outcome = crew::work(store, options.threads, &work);
    let (_, verdicts) = seen.into_inner();
    let read: std::collections::HashSet<PackId> = verdicts.iter().map(|(id, _)| *id).collect();
    for (id, is_good) in verdicts {
        saved.note(id, Depth::Bytes, is_good, now);
    }
    outcome?;
    // Known to be damaged, and not read by this run.
    for (id, _) in packs.iter().filter(|(id, _)| !read.contains(id)) {
        if let Some(since) = saved.bad_since(id) {
            let problem =
                format!("it was found damaged at {}, and was not read since", super::select::time_text(since));
            report.findings.push(finding(names::pack(id), problem, is_copy));
        }
    }
    report.coverage = vec![Coverage::of(packs.into_iter(), saved, Depth::Bytes, now)];
    report.findings.sort_by(|a, b| a.object.cmp(&b.object));
    report.foreign.sort();
    Ok(())
}

fn finding(object: String, problem: String, is_copy: bool) -> Finding {
    let mend = mend(&object, is_copy);
    Finding { object, problem, records: 0, snapshots: Vec::new(), paths: Vec::new(), paths_more: 0, mend }
}

enum Verdict {
    Intact,
    /// Deleted since it was listed: by a collection, a writer that has ended, or another audit.
    Gone,
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
        Err(error) if error.kind() == crate::store::ErrorKind::NotFound => return Ok(Verdict::Gone),
        Err(error) if error.kind() == crate::store::ErrorKind::Corrupt => {
            return Ok(Verdict::Damaged(with_causes(&error.into())));
        }
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
        if let Some(hash) = names::quarantined_hash(name) {
            return Self::NamedByHash(hash);
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
        if names::checkpoint_slot(name).is_some() {
            return Self::Envelope(EnvelopeKind::Checkpoint);
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

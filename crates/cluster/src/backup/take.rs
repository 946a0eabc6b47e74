//! One thread of a backup: lists a resource, compares each object with the parent's, and stores what is new.
//!
//! An object that changed is a chunk of its own, because its neighbours did not change. Objects that are new go together into bundles,
//! where the compression sees what they have in common.

use std::collections::BTreeMap;

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::log::LedgerEntry;
use backstay_format::tree::Extent;
use backstay_repo::{ChunkWriter, ErrorKind, Progress, RepoError};

use super::Shared;
use super::entry::{Entry, Place, State, find, key_below_resource, known};
use super::related::Links;
use crate::api::{ApiError, ListOptions};
use crate::error::{ClusterError, Result};
use crate::filter::Rule;
use crate::object::{Head, ObjectKey};
use crate::resource::Resource;
use crate::snapshot::{ListedAt, ObjectReader};

/// A bundle is cut here, at an object's end: large enough for the compression, small enough to be fetched for one object, which
/// costs some 36 kB of the store (docs/design/0001).
const BUNDLE_BYTES: usize = 256 << 10;
/// Why a claim is in the ledger.
pub(super) const VOLUME_NOT_CAPTURED: &str = "volume-data-not-captured";
/// What is larger than this is cut; no object of an API server is.
const PIECE_BYTES: usize = 1 << 20;

/// What is listed of one resource.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub(super) resource: Resource,
    /// Nothing in it: one list of the whole cluster.
    pub(super) namespaces: Vec<String>,
    /// Most namespaces are chosen: the whole cluster is listed, unless this account may only list them one by one.
    pub(super) are_most: bool,
}

/// What came of a unit.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) resource: Resource,
    pub(super) entries: Vec<Entry>,
    pub(super) lists: Vec<ListedAt>,
    pub(super) ledger: Vec<LedgerEntry>,
    pub(super) filtered: BTreeMap<Rule, u64>,
    pub(super) read_bytes: u64,
    pub(super) links: Links,
    /// The first list that failed.
    pub(super) error: Option<ApiError>,
}

impl Taken {
    pub(super) fn new(resource: Resource) -> Self {
        Self {
            resource,
            entries: Vec::new(),
            lists: Vec::new(),
            ledger: Vec::new(),
            filtered: BTreeMap::new(),
            read_bytes: 0,
            links: Links::default(),
            error: None,
        }
    }

    /// Adds what another list of the same resource gave.
    pub(super) fn merge(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        self.lists.append(&mut other.lists);
        self.ledger.append(&mut other.ledger);
        for (rule, count) in other.filtered {
            *self.filtered.entry(rule).or_default() += count;
        }
        self.read_bytes += other.read_bytes;
        self.links.merge(other.links);
        self.error = self.error.take().or(other.error);
    }

    /// In order of keys, each once: several selectors may find the same object, and a list that went on in a later state may
    /// tell of one twice. The later one stays.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by(|a, b| a.key.cmp(&b.key));
        self.entries.reverse();
        self.entries.dedup_by(|a, b| a.key == b.key);
        self.entries.reverse();
    }
}

/// What is done with an object that was seen.
#[derive(Clone, Copy)]
pub(super) enum Seen<'a> {
    /// A filter chose it, unless a rule leaves it out.
    Chosen,
    /// Something that was chosen needs it.
    Related,
    /// The same as chosen, by a rule of its own.
    By(&'a dyn Fn(&Head, &[u8]) -> Option<Rule>),
}

/// What becomes of an object of a list.
type EachObject<'e, W> = dyn FnMut(&mut W, &mut Taken, &[u8]) -> Result<()> + 'e;

pub(super) struct Worker<'s, 'r> {
    shared: &'s Shared<'r>,
    /// Nothing in a dry run.
    chunks: Option<ChunkWriter<'s>>,
    reader: ObjectReader<'r>,
    bundle: Vec<u8>,
    /// The open bundle's place in the table of chunks.
    slot: Option<u32>,
}

impl<'s, 'r> Worker<'s, 'r> {
    pub(super) fn new(shared: &'s Shared<'r>) -> Result<Self> {
        let chunks = shared.writer.as_ref().map(|writer| writer.chunk_writer()).transpose()?;
        let reader = ObjectReader::new(shared.repository)?;
        Ok(Self { shared, chunks, reader, bundle: Vec::new(), slot: None })
    }

    /// Lists a unit: in each of its namespaces, with each of the selectors.
    ///
    /// # Errors
    /// What ends the whole run. A list that fails is in the ledger.
    pub(super) fn take(&mut self, unit: &Unit, seen: Seen<'_>, selectors: &[String]) -> Result<Taken> {
        let known = self.known(&unit.resource)?;
        let everywhere = [None];
        let named: Vec<_> = unit.namespaces.iter().map(|name| Some(&name[..])).collect();
        let is_whole = named.is_empty() || unit.are_most;
        let mut taken = self.take_in(unit, if is_whole { &everywhere } else { &named }, seen, selectors, &known)?;
        if unit.are_most && taken.error.as_ref().is_some_and(ApiError::is_forbidden) {
            taken = self.take_in(unit, &named, seen, selectors, &known)?;
        }
        taken.sort();
        Ok(taken)
    }

    fn take_in(
        &mut self,
        unit: &Unit,
        namespaces: &[Option<&str>],
        seen: Seen<'_>,
        selectors: &[String],
        known: &[Entry],
    ) -> Result<Taken> {
        let mut taken = Taken::new(unit.resource.clone());
        let all = [None];
        let chosen: Vec<_> = selectors.iter().map(|selector| Some(&selector[..])).collect();
        for namespace in namespaces {
            for selector in if chosen.is_empty() { &all[..] } else { &chosen } {
                let one = self.list(&unit.resource, *namespace, *selector, known, &mut |worker, one, object| {
                    worker.object(one, known, seen, object)
                })?;
                taken.merge(one);
            }
        }
        Ok(taken)
    }

    /// Those objects of a resource that `wants` wants.
    pub(super) fn pick(&mut self, resource: &Resource, wants: &mut dyn FnMut(&Head, &[u8]) -> bool) -> Result<Taken> {
        let known = self.known(resource)?;
        let mut taken =
            self.list(resource, None, None, &known, &mut |worker, one, object| match Head::parse(object) {
                Ok(head) if wants(&head, object) => worker.object(one, &known, Seen::Related, object),
                _ => Ok(()),
            })?;
        // It was not asked for everything, so nothing is said of the list.
        taken.lists.clear();
        taken.sort();
        Ok(taken)
    }

    /// Objects by their names. `why` says who needs them.
    pub(super) fn fetch(
        &mut self,
        resource: &Resource,
        names: &[(Option<String>, String)],
        seen: Seen<'_>,
        why: &str,
    ) -> Result<Taken> {
        let known = self.known(resource)?;
        let mut taken = Taken::new(resource.clone());
        for (namespace, name) in names {
            self.shared.check_cancelled()?;
            let key = ObjectKey::new(resource.name.clone(), namespace.as_deref(), name);
            match self.shared.server.get(resource, namespace.as_deref(), name) {
                Ok(Some(object)) => {
                    taken.read_bytes += object.len() as u64;
                    self.object(&mut taken, &known, seen, &object)?;
                }
                Ok(None) => taken.ledger.push(noted(&key, "missing", why)),
                Err(error) => {
                    let error = not_fatal(error)?;
                    let reason = if error.is_forbidden() { "forbidden" } else { "get-failed" };
                    taken.ledger.push(failed(path_of(&key), reason, format!("{why}: {error}")));
                }
            }
        }
        taken.sort();
        Ok(taken)
    }

    /// Ends the thread's part: the open bundle is stored.
    pub(super) fn finish(mut self) -> Result<()> {
        self.cut()
    }

    fn known(&mut self, resource: &Resource) -> Result<Vec<Entry>> {
        let Some(parent) = &self.shared.parent else { return Ok(Vec::new()) };
        match known(&mut self.reader, parent, &resource.name, &self.shared.chunks) {
            // A damaged parent must not stand in the way of a new, whole snapshot.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                self.shared.note(format!(
                    "{} of snapshot {} cannot be read ({error}): they are stored anew",
                    resource.name, parent.id
                ));
                Ok(Vec::new())
            }
            result => result,
        }
    }

    fn list(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: Option<&str>,
        known: &[Entry],
        each: &mut EachObject<'_, Self>,
    ) -> Result<Taken> {
        let shared = self.shared;
        let time = shared.repository.clock().now_text();
        let options = ListOptions {
            namespace: namespace.map(str::to_owned),
            label_selector: selector.map(str::to_owned),
            page_size: shared.page_size,
        };
        shared.progress.set_current(|text| text.push_str(&resource.name.to_string()));
        let mut one = Taken::new(resource.clone());
        // A first backup knows how many there will be only when the list has ended; a later one expects as many as there were.
        one.entries.reserve(if namespace.is_none() && selector.is_none() { known.len() } else { 0 });
        let listed = shared.server.list(resource, &options, &mut |page| {
            shared.check_cancelled()?;
            if page.restart {
                one = Taken::new(resource.clone());
            }
            page.items.iter().try_for_each(|object| each(self, &mut one, object))
        });
        match listed {
            Ok(listed) => {
                one.read_bytes += listed.received_bytes;
                one.lists.push(ListedAt {
                    namespace: namespace.map(str::to_owned),
                    resource_version: listed.resource_version,
                    time,
                    inconsistent: listed.inconsistent,
                });
            }
            Err(ClusterError::Api(error)) => {
                let error = not_fatal(error)?;
                let mut path = format!("resources/{}", resource.name);
                if let Some(namespace) = namespace {
                    path.push_str(&format!("/namespaces/{namespace}"));
                }
                let seen = one.entries.len();
                let detail = if seen == 0 { error.to_string() } else { format!("{error}; {seen} were seen before") };
                let entry = if error.is_not_found() {
                    // Since discovery: whoever removes a definition removes its objects.
                    LedgerEntry { failed: false, ..failed(path, "vanished", detail) }
                } else {
                    Progress::add(&shared.progress.problems, 1);
                    failed(path, if error.is_forbidden() { "forbidden" } else { "list-failed" }, detail)
                };
                one.ledger.push(entry);
                one.error = Some(error);
            }
            Err(error) => return Err(error),
        }
        Ok(one)
    }

    fn object(&mut self, taken: &mut Taken, known: &[Entry], seen: Seen<'_>, object: &[u8]) -> Result<()> {
        let shared = self.shared;
        Progress::add(&shared.progress.items_done, 1);
        Progress::add(&shared.progress.bytes_done, object.len() as u64);
        let resource = &taken.resource;
        let head = match Head::parse(object) {
            Ok(head) => head,
            Err(error) => {
                taken.ledger.push(failed(format!("resources/{}", resource.name), "invalid-object", error.to_string()));
                return Ok(());
            }
        };
        let namespace = head.metadata.namespace.as_deref().filter(|_| resource.namespaced);
        let key = ObjectKey::new(resource.name.clone(), namespace, &head.metadata.name);
        if !key.is_valid() || (resource.namespaced && namespace.is_none()) {
            taken.ledger.push(failed(path_of(&key), "invalid-name", String::new()));
            return Ok(());
        }
        let left_out = match seen {
            Seen::Chosen | Seen::Related => shared.choice.leaves_out(&head),
            Seen::By(rule) => rule(&head, object),
        };
        if let Some(rule) = left_out {
            *taken.filtered.entry(rule).or_default() += 1;
            return Ok(());
        }
        taken.links.read(&key, object, &shared.wants);
        if key.resource.is_core("persistentvolumeclaims") {
            taken.ledger.push(noted(&key, VOLUME_NOT_CAPTURED, "volume data not in this snapshot"));
        }
        let hash = shared.repository.keys().content_hash(object);
        let size_bytes = u32::try_from(object.len())
            .map_err(|_| ClusterError::Repository(RepoError::Invalid(format!("{key} is larger than 4 GiB"))))?;
        let key = key_below_resource(&key);
        let before = find(known, &key);
        let (state, place) = match before {
            Some(before) if before.hash == hash && before.size_bytes == size_bytes => {
                (State::Unchanged, before.place.clone())
            }
            Some(_) => (State::Changed, self.put_alone(object)?),
            None => (State::Added, self.put_together(object)?),
        };
        let is_related = matches!(seen, Seen::Related);
        taken.entries.push(Entry { key, hash, size_bytes, place, state, is_related });
        Ok(())
    }

    fn put_alone(&mut self, object: &[u8]) -> Result<Place> {
        let Some(chunks) = &mut self.chunks else { return Ok(Place::Nowhere) };
        if object.len() > PIECE_BYTES {
            return Ok(Place::Many(put_pieces(chunks, object)?.into()));
        }
        let id = chunks.put(RecordKind::Data, object, Hint::SmallJson)?;
        Ok(Place::Chunk { slot: self.shared.chunks.add(id) })
    }

    fn put_together(&mut self, object: &[u8]) -> Result<Place> {
        if self.chunks.is_none() {
            return Ok(Place::Nowhere);
        }
        if object.len() >= BUNDLE_BYTES {
            return self.put_alone(object);
        }
        if self.bundle.len() + object.len() > BUNDLE_BYTES {
            self.cut()?;
        }
        let slot = *self.slot.get_or_insert_with(|| self.shared.chunks.reserve());
        let offset = self.bundle.len() as u32;
        self.bundle.extend_from_slice(object);
        Ok(Place::Part { slot, offset })
    }

    fn cut(&mut self) -> Result<()> {
        let (Some(chunks), Some(slot)) = (&mut self.chunks, self.slot.take()) else { return Ok(()) };
        let id = chunks.put(RecordKind::Data, &self.bundle, Hint::JsonBundle)?;
        self.shared.chunks.fill(slot, id);
        self.bundle.clear();
        Ok(())
    }
}

/// Stores a document that may be larger than a chunk.
pub(super) fn put_pieces(chunks: &mut ChunkWriter<'_>, bytes: &[u8]) -> Result<Vec<Extent>> {
    let pieces = bytes.chunks(PIECE_BYTES);
    pieces
        .map(|piece| {
            let id = chunks.put(RecordKind::Data, piece, Hint::SmallJson)?;
            Ok(Extent::Chunk { id, len: piece.len() as u32 })
        })
        .collect()
}

/// Passes an error on where it is one of a single request. An interrupt, a server that is gone, and credentials that are refused end
/// the run: a snapshot of what happened to be seen before would be none.
pub(super) fn not_fatal(error: ApiError) -> Result<ApiError> {
    match error {
        ApiError::Interrupted { .. } => Err(RepoError::Interrupted.into()),
        ApiError::Connect { .. } | ApiError::Tls { .. } | ApiError::Config { .. } => Err(error.into()),
        error if error.is_unauthorized() => Err(error.into()),
        error => Ok(error),
    }
}

pub(super) fn failed(path: String, reason: &str, detail: String) -> LedgerEntry {
    let extra = backstay_format::log::Extra::new();
    LedgerEntry { path, reason: reason.to_owned(), detail, failed: true, extra }
}

pub(super) fn noted(key: &ObjectKey, reason: &str, detail: &str) -> LedgerEntry {
    LedgerEntry { failed: false, ..failed(path_of(key), reason, detail.to_owned()) }
}

/// The object's place in the tree, for people.
pub(super) fn path_of(key: &ObjectKey) -> String {
    backstay_format::tree::display_key(&key.tree_key())
}

//! One function per decoder, for any bytes. Ordinary tests run the seeds through the same functions
//! (crates/format/tests/it/fuzz_seeds.rs includes this file).
//!
//! What is sealed cannot be reached by chance, so that some targets seal their input with the right keys first, as somebody
//! who holds them could. Not panicking is the least that is asserted; what decodes must also make sense.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use backstay_format::audit::{AuditResults, Damaged};
use backstay_format::checkpoint::Checkpoint;
use backstay_format::compress::DEFAULT_LEVEL;
use backstay_format::config::{Config, KeySlot, Secret};
use backstay_format::crypto::{Keys, MasterKey};
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{ChunkId, RepositoryId, to_hex};
use backstay_format::log::LogEntry;
use backstay_format::pack::{pack_kind, read_directory, scan_records};
use backstay_format::record::{RECORD_HEADER_LEN, RecordHeader, Sealer};
use backstay_format::segment::Segment;
use backstay_format::tree::{Content, ContentNode, Extent, ItemKind, Node};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder of seeds.
pub const TARGETS: [(&str, Target); 14] = [
    ("audit_results", audit_results),
    ("checkpoint", checkpoint),
    ("config", config),
    ("content_node", content_node),
    ("damaged", damaged),
    ("envelope", envelope),
    ("forged_envelope", forged_envelope),
    ("forged_record", forged_record),
    ("key_slot", key_slot),
    ("log_entry", log_entry),
    ("pack", pack),
    ("record", record),
    ("segment", segment),
    ("tree_node", tree_node),
];

const REPOSITORY: [u8; 16] = [0xa5; 16];
const LEVEL_MAX: u8 = 33;

/// The keys of the golden repository: seeds that come from it open.
fn keys() -> Keys {
    Keys::derive(&MasterKey::from_bytes(master()), RepositoryId::new(REPOSITORY))
}

fn master() -> [u8; 32] {
    std::array::from_fn(|n| n as u8)
}

/// A derived key, from the words in docs/format.md: this crate does not hand them out.
fn derived(context: &str) -> [u8; 32] {
    blake3::derive_key(context, &[&master()[..], &REPOSITORY].concat())
}

fn aes(key: [u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes 32 bytes"))
}

fn sealed(key: [u8; 32], aad: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = body.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    aes(key).seal_in_place_append_tag(nonce, Aad::from(aad), &mut out).expect("short enough to seal");
    out
}

pub fn record(data: &[u8]) {
    let keys = keys();
    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).expect("contexts can be made");
    let mut plain = Vec::new();
    if let Ok(header) = sealer.open(data, &mut plain) {
        assert_eq!(keys.name(header.kind, &plain), header.id);
        assert_eq!(plain.len(), header.raw_len as usize);
    }
}

/// Kind, codec, dictionary, the length's three low bytes, then the body.
pub fn forged_record(data: &[u8]) {
    let Some((&[kind, codec, dictionary, a, b, c], body)) = data.split_first_chunk::<6>() else { return };
    let keys = keys();
    let id = ChunkId::new(blake3::hash(body).into());
    let mut stored = [&b"BsRc"[..], &[kind, codec, dictionary, 0, a, b, c, 0]].concat();
    stored.extend_from_slice(&(body.len() as u32 + 16).to_le_bytes());
    stored.extend_from_slice(id.as_bytes());
    let key = *blake3::keyed_hash(&derived("backstay v1 sealing of records"), id.as_bytes()).as_bytes();
    let body = sealed(key, &stored, body);
    stored.extend_from_slice(&[0; 12]);
    let check = blake3::hash(&stored);
    stored.extend_from_slice(&check.as_bytes()[..4]);
    stored.extend_from_slice(&body);
    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).expect("contexts can be made");
    // Its id is none that any contents have.
    assert!(sealer.open(&stored, &mut Vec::new()).is_err());
}

pub fn pack(data: &[u8]) {
    let keys = keys();
    let _ = pack_kind(data);
    let inside = |offset: u32, length: u32| offset as usize + length as usize <= data.len();
    if let Ok(records) = read_directory(&keys, data) {
        assert!(records.iter().all(|record| inside(record.offset, record.stored_len)));
    }
    for record in scan_records(data, &mut |_| true) {
        assert!(inside(record.offset, record.stored_len));
        let header = RecordHeader::decode(&data[record.offset as usize..]).expect("the scan decoded it");
        assert_eq!((header.id, header.stored_len()), (record.id, record.stored_len));
        assert!(record.stored_len as usize >= RECORD_HEADER_LEN);
    }
}

pub fn segment(data: &[u8]) {
    let keys = keys();
    let _ = Segment::open(&keys, data);
    if let Ok(segment) = Segment::decode(data) {
        let stored = segment.clone().seal(&keys).expect("what was decoded can be sealed");
        assert!(Segment::open(&keys, &stored.bytes).expect("what was sealed opens") == segment);
    }
}

pub fn envelope(data: &[u8]) {
    let keys = keys();
    for (kind, context) in contexts() {
        if envelope::open(&keys, kind, &context, data).is_ok() {
            envelope::verify(kind, data).expect("what opens is whole");
        }
    }
}

/// Kind, codec, the length's three low bytes, then the body.
pub fn forged_envelope(data: &[u8]) {
    let Some((&[kind, codec, a, b, c], body)) = data.split_first_chunk::<5>() else { return };
    let Some((kind, context)) = contexts().into_iter().nth(usize::from(kind) % 5) else { return };
    let header = [&b"BKSTENVL"[..], &[1, kind as u8, codec, 0, a, b, c, 0], &[7; 32]].concat();
    let mut hasher = blake3::Hasher::new_keyed(&derived("backstay v1 sealing of envelopes"));
    hasher.update(&[kind as u8]).update(&[7; 32]);
    let body = sealed(hasher.finalize().into(), &[&header[..], &context].concat(), body);
    let mut stored = [header, body].concat();
    let hash = blake3::hash(&stored);
    stored.extend_from_slice(hash.as_bytes());
    envelope::verify(kind, &stored).expect("its hash is right");
    if let Ok(plain) = envelope::open(&keys(), kind, &context, &stored) {
        assert_eq!(plain.len(), u32::from_le_bytes([a, b, c, 0]) as usize);
    }
}

/// A place for each kind, those of the golden repository.
fn contexts() -> [(EnvelopeKind, Vec<u8>); 6] {
    [
        (EnvelopeKind::Segment, Vec::new()),
        (EnvelopeKind::LogEntry, 1u64.to_le_bytes().to_vec()),
        (EnvelopeKind::Writer, vec![0x44; 16]),
        (EnvelopeKind::AuditResults, b"audit/check-55555555555555555555555555555555".to_vec()),
        (EnvelopeKind::Damaged, Vec::new()),
        (EnvelopeKind::Checkpoint, 2u64.to_le_bytes().to_vec()),
    ]
}

pub fn config(data: &[u8]) {
    let _ = Config::read(data);
    let mac = blake3::keyed_hash(&derived("backstay v1 authentication of the config"), data);
    let stored = with_hash_line([data, b"\nmac ", mac.to_hex().as_bytes(), b"\n"].concat());
    if let Ok(config) = Config::read(&stored) {
        let (config, _) = config.authenticate(&keys()).expect("its mac is right");
        assert!(Config::read(&config.seal(&keys())).is_ok(), "what was read can be written");
    }
}

pub fn key_slot(data: &[u8]) {
    // Argon2 would make this target slow; how a password opens a slot is tested elsewhere.
    let secret = Secret::KeyFile(vec![0x42; 48].into());
    let sealed = to_hex(&[9; 48]);
    for stored in [data.to_vec(), with_hash_line([data, b"\nsealed ", sealed.as_bytes(), b"\n"].concat())] {
        if let Ok(slot) = KeySlot::read(&stored) {
            let _ = slot.open(&secret);
        }
    }
}

fn with_hash_line(text: Vec<u8>) -> Vec<u8> {
    let hash = blake3::hash(&text).to_hex();
    [&text[..], b"blake3 ", hash.as_bytes(), b"\n"].concat()
}

pub fn tree_node(data: &[u8]) {
    let references = Node::references(data);
    for level in 0..=LEVEL_MAX {
        let Ok(node) = Node::decode(data, level) else { continue };
        let references = references.as_ref().expect("what decodes has references");
        assert_eq!(references.level, level);
        match node {
            Node::Leaf(items) => {
                assert!(items.is_sorted_by(|a, b| a.key < b.key));
                for item in &items {
                    if let ItemKind::File { size_bytes, content, .. } = &item.kind {
                        assert_eq!(content.length(), Some(*size_bytes));
                        match content {
                            Content::Extents(extents) => assert_listed(extents, &references.chunks),
                            Content::Node { root, .. } => assert!(references.content.contains(&root.id)),
                        }
                    }
                }
            }
            Node::Inner(children) => {
                assert!(children.iter().all(|child| references.chunks.contains(&child.id)));
                assert!(children.is_sorted_by(|a, b| a.first_key < b.first_key));
            }
        }
    }
}

pub fn content_node(data: &[u8]) {
    let references = Node::references(data);
    for level in 0..=LEVEL_MAX {
        let Ok(node) = ContentNode::decode(data, level) else { continue };
        let references = references.as_ref().expect("what decodes has references");
        match node {
            ContentNode::Extents(extents) => assert_listed(&extents, &references.chunks),
            ContentNode::Children(children) => {
                assert!(children.iter().all(|child| references.content.contains(&child.id)));
            }
        }
    }
}

/// A collector that only reads the tables keeps everything that the extents need.
fn assert_listed(extents: &[Extent], chunks: &[ChunkId]) {
    assert!(extents.iter().filter_map(Extent::chunk).all(|id| chunks.contains(&id)));
}

pub fn log_entry(data: &[u8]) {
    if let Ok(entry) = serde_json::from_slice::<LogEntry>(data) {
        let text = serde_json::to_vec(&entry).expect("an entry is plain data");
        assert!(serde_json::from_slice::<LogEntry>(&text).expect("what was written is read") == entry);
    }
}

pub fn checkpoint(data: &[u8]) {
    let keys = keys();
    if let Ok(checkpoint) = Checkpoint::decode(data) {
        let stored = checkpoint.clone().seal(&keys).expect("what was decoded can be sealed");
        assert!(Checkpoint::open(&keys, checkpoint.slot, &stored).expect("what was sealed opens") == checkpoint);
    }
}

/// A sealed body, and the text of a run without keys.
pub fn audit_results(data: &[u8]) {
    let keys = keys();
    for results in [AuditResults::decode(data), AuditResults::read_text(data)].into_iter().flatten() {
        let stored = results.seal(&keys, "audit/a").expect("what was read can be sealed");
        assert!(AuditResults::open(&keys, "audit/a", &stored).expect("what was sealed opens") == results);
        let text = AuditResults::read_text(&results.to_text()).expect("what was written is read");
        assert!(text.rows.iter().all(|(key, verdict)| results.rows.get(key) == Some(verdict)));
    }
}

pub fn damaged(data: &[u8]) {
    let keys = keys();
    if let Ok(damaged) = Damaged::decode(data) {
        let stored = damaged.seal(&keys).expect("what was read can be sealed");
        assert!(Damaged::open(&keys, &stored).expect("what was sealed opens") == damaged);
    }
}

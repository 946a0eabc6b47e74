//! What objects are called in the store. All names: docs/format.md, "Objects".

use backstay_format::crypto::stored_hash;
use backstay_format::ids::{EntryHash, KeyId, PackId, SegmentId, WriterId};

pub const CONFIG: &str = "config";
/// A second copy: a repository must not be lost with one small object.
pub const CONFIG_COPY: &str = "config-copy";
/// On a local directory: bytes that can be given up when the disk is full.
pub const RESERVE: &str = "reserve";
/// At a copy only: what is not to be appended to.
pub const COPY: &str = "copy";
pub const KEYS: &str = "keys/";
pub const PACKS: &str = "packs/";
pub const INDEX: &str = "index/";
pub const LOG: &str = "log/";
pub const WRITERS: &str = "writers/";
pub const CHECKPOINTS: &str = "ckpt/";
pub const AUDIT: &str = "audit/";
const CHECK_RESULT: &str = "audit/check-";
const SCRUB_RESULT: &str = "audit/scrub-";
/// What is known to be damaged: overwritten, like a heartbeat.
pub const DAMAGE: &str = "audit/damage";
/// Damaged bytes that a repair took out of use. Nothing reads them, and nothing deletes them.
pub const QUARANTINE: &str = "quarantine/";

/// Whether it is one of the objects that a restore needs and that are the same at every copy.
pub fn is_kept_for_restores(name: &str) -> bool {
    name == CONFIG || name == CONFIG_COPY || [PACKS, INDEX, LOG].iter().any(|folder| name.starts_with(folder))
}

pub fn key(id: &KeyId) -> String {
    format!("{KEYS}{id}")
}

pub fn pack(id: &PackId) -> String {
    let id = id.to_string();
    format!("{PACKS}{}/{id}", &id[..2])
}

pub fn segment(id: &SegmentId) -> String {
    format!("{INDEX}{id}")
}

pub fn writer(id: &WriterId) -> String {
    format!("{WRITERS}{id}")
}

/// What the log comes to at an entry: of fixed width, so that names sort as slots do.
pub fn checkpoint(slot: u64) -> String {
    format!("{CHECKPOINTS}{slot:016x}")
}

/// The entry that a checkpoint is of.
pub fn checkpoint_slot(name: &str) -> Option<u64> {
    let slot = u64::from_str_radix(name.strip_prefix(CHECKPOINTS)?, 16).ok()?;
    (checkpoint(slot) == name).then_some(slot)
}

/// What a check saw. The name is random.
pub fn check_result(id: &WriterId) -> String {
    format!("{CHECK_RESULT}{id}")
}

/// What a scrub saw.
pub fn scrub_result(id: &WriterId) -> String {
    format!("{SCRUB_RESULT}{id}")
}

pub fn check_result_of(name: &str) -> Option<WriterId> {
    name.strip_prefix(CHECK_RESULT)?.parse().ok()
}

pub fn scrub_result_of(name: &str) -> Option<WriterId> {
    name.strip_prefix(SCRUB_RESULT)?.parse().ok()
}

/// Where the damaged bytes of an object are kept. Their hash is in the name, so that two kinds of damage of one object lie side
/// by side, and whoever keeps the same bytes again writes the same object.
pub fn quarantine(name: &str, bytes: &[u8]) -> String {
    format!("{QUARANTINE}{name}/{}", EntryHash::new(stored_hash(bytes)))
}

/// The hash of the bytes that a name in the quarantine stands for.
pub fn quarantined_hash(name: &str) -> Option<[u8; 32]> {
    let hash: EntryHash = name.strip_prefix(QUARANTINE)?.rsplit('/').next()?.parse().ok()?;
    Some(*hash.as_bytes())
}

/// The pack that an object's name names.
pub fn pack_of(name: &str) -> Option<PackId> {
    let id = name.strip_prefix(PACKS)?.get(3..)?.parse().ok()?;
    (pack(&id) == name).then_some(id)
}

/// The segment that an object's name names.
pub fn segment_of(name: &str) -> Option<SegmentId> {
    name.strip_prefix(INDEX)?.parse().ok()
}

/// The key slot that an object's name names.
pub fn key_of(name: &str) -> Option<KeyId> {
    name.strip_prefix(KEYS)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_one_to_one() {
        let id = PackId::new([0xa1; 32]);
        assert_eq!(pack_of(&pack(&id)), Some(id));
        assert_eq!(pack_of(&format!("packs/b1/{id}")), None);
        assert_eq!(pack_of("packs/a1"), None);
        let run = WriterId::new([5; 16]);
        assert_eq!(
            (check_result_of(&check_result(&run)), scrub_result_of(&scrub_result(&run))),
            (Some(run), Some(run))
        );
        assert_eq!((check_result_of(&scrub_result(&run)), scrub_result_of(DAMAGE)), (None, None));
        assert_eq!(checkpoint_slot(&checkpoint(0xabc)), Some(0xabc));
        assert_eq!(checkpoint_slot("ckpt/abc"), None);
        assert_eq!(segment_of(&segment(&SegmentId::new([3; 32]))), Some(SegmentId::new([3; 32])));
    }
}

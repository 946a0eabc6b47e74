//! What audits leave in a repository: which pack was verified when, and what is known to be damaged (docs/format.md, "Audits").
//!
//! Nothing here is needed to restore, and nothing here is believed without need: a wrong row costs a pack read too often or too
//! late, never data.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{check_hash_line, with_hash_line};
use crate::crypto::Keys;
use crate::envelope::{self, EnvelopeKind};
use crate::error::{FormatError, Result};
use crate::ids::{ChunkId, PackId, SnapshotId, to_hex};
use crate::wire::Reader;

const RESULTS: &str = "a result of an audit";
const DAMAGED: &str = "the list of what is damaged";
const VERSION: u32 = 1;
const ROW_LEN: usize = 48;
const FIRST_LINE: &str = "backstay audit 1";
/// In place of a number of records: which of a pack's records can be read is not known.
const ALL: u32 = u32::MAX;

/// How a pack was verified. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Depth {
    /// Its bytes are those that its name says.
    Bytes = 1,
    /// Every record in it was opened too.
    Full = 2,
}

impl Depth {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Bytes, Self::Full].into_iter().find(|depth| *depth as u8 == byte)
    }
}

/// What the newest reading of a pack at one depth showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Seconds since 1970, by the reader's clock.
    pub time: u64,
    pub is_good: bool,
}

/// The newest verdict for each pack and depth that some runs know of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditResults {
    pub rows: BTreeMap<(PackId, Depth), Verdict>,
}

impl AuditResults {
    /// Takes over what another run saw: the newer verdict counts, and of two at the same time the bad one.
    pub fn merge(&mut self, other: &Self) {
        for (key, verdict) in &other.rows {
            let known = self.rows.entry(*key).or_insert(*verdict);
            if (verdict.time, !verdict.is_good) > (known.time, !known.is_good) {
                *known = *verdict;
            }
        }
    }

    /// Sealed for the object of this name.
    pub fn seal(&self, keys: &Keys, name: &str) -> Result<Vec<u8>> {
        envelope::seal(keys, EnvelopeKind::AuditResults, name.as_bytes(), &self.encode())
    }

    pub fn open(keys: &Keys, name: &str, stored: &[u8]) -> Result<Self> {
        Self::decode(&envelope::open(keys, EnvelopeKind::AuditResults, name.as_bytes(), stored)?)
    }

    /// The plain body.
    fn encode(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(8 + self.rows.len() * ROW_LEN);
        plain.extend_from_slice(&VERSION.to_le_bytes());
        plain.extend_from_slice(&(self.rows.len() as u32).to_le_bytes());
        for ((pack, depth), verdict) in &self.rows {
            plain.extend_from_slice(pack.as_bytes());
            plain.extend_from_slice(&verdict.time.to_le_bytes());
            plain.extend_from_slice(&[*depth as u8, u8::from(verdict.is_good), 0, 0, 0, 0, 0, 0]);
        }
        plain
    }

    /// Reads a plain body; rows must ascend.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(RESULTS, plain);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: RESULTS, found: version, supported: VERSION });
        }
        let count = reader.u32()? as usize;
        if count.checked_mul(ROW_LEN) != Some(reader.remaining()) {
            return Err(FormatError::invalid(RESULTS, "its length does not match its count"));
        }
        let mut rows = BTreeMap::new();
        while !reader.is_empty() {
            let pack = PackId::new(reader.array()?);
            let time = reader.u64()?;
            let [depth, is_good, ..] = reader.array::<8>()?;
            let depth = Depth::from_byte(depth)
                .filter(|_| is_good <= 1)
                .ok_or_else(|| FormatError::invalid(RESULTS, format!("the row of pack {pack} is not known")))?;
            insert(&mut rows, (pack, depth), Verdict { time, is_good: is_good == 1 })?;
        }
        Ok(Self { rows })
    }

    /// As text, for a run that has no key: its rows of depth [`Depth::Bytes`], which is all that such a run can see.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}\n");
        for ((pack, depth), verdict) in &self.rows {
            if *depth == Depth::Bytes {
                let word = if verdict.is_good { "good" } else { "bad" };
                text.push_str(&format!("{} {word} {}\n", to_hex(pack.as_bytes()), verdict.time));
            }
        }
        with_hash_line(text)
    }

    pub fn read_text(stored: &[u8]) -> Result<Self> {
        let mut lines = check_hash_line(RESULTS, stored)?.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(FormatError::Magic { what: RESULTS });
        }
        let mut rows = BTreeMap::new();
        for line in lines {
            let row = || -> Option<(PackId, Verdict)> {
                let (pack, rest) = line.split_once(' ')?;
                let (word, time) = rest.split_once(' ')?;
                let is_good = [("good", true), ("bad", false)].into_iter().find(|(known, _)| *known == word)?.1;
                Some((pack.parse().ok()?, Verdict { time: time.parse().ok()?, is_good }))
            };
            let (pack, verdict) = row().ok_or_else(|| FormatError::invalid(RESULTS, "a line is not known"))?;
            insert(&mut rows, (pack, Depth::Bytes), verdict)?;
        }
        Ok(Self { rows })
    }
}

/// Adds a row that must come after those before.
fn insert(rows: &mut BTreeMap<(PackId, Depth), Verdict>, key: (PackId, Depth), verdict: Verdict) -> Result<()> {
    if rows.last_key_value().is_some_and(|(last, _)| *last >= key) {
        return Err(FormatError::invalid(RESULTS, "its rows are not sorted"));
    }
    rows.insert(key, verdict);
    Ok(())
}

/// Which records of a damaged pack cannot be read from it. Another pack may hold an intact copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Maybe all: the pack is missing, or only its size or its hash was looked at.
    All,
    /// These, and no others.
    Records(BTreeSet<ChunkId>),
}

impl Lost {
    pub fn contains(&self, record: &ChunkId) -> bool {
        match self {
            Self::All => true,
            Self::Records(records) => records.contains(record),
        }
    }
}

/// What is damaged, as far as the last audits know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damaged {
    pub packs: BTreeMap<PackId, Lost>,
    /// Those that cannot be restored in full.
    pub snapshots: BTreeSet<SnapshotId>,
}

impl Damaged {
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.snapshots.is_empty()
    }

    /// Whether this pack's copy of the record is known, or feared, to be unreadable.
    pub fn is_lost(&self, pack: &PackId, record: &ChunkId) -> bool {
        self.packs.get(pack).is_some_and(|lost| lost.contains(record))
    }

    pub fn seal(&self, keys: &Keys) -> Result<Vec<u8>> {
        envelope::seal(keys, EnvelopeKind::Damaged, b"", &self.encode())
    }

    pub fn open(keys: &Keys, stored: &[u8]) -> Result<Self> {
        Self::decode(&envelope::open(keys, EnvelopeKind::Damaged, b"", stored)?)
    }

    fn encode(&self) -> Vec<u8> {
        let records = || {
            self.packs.values().filter_map(|lost| match lost {
                Lost::All => None,
                Lost::Records(records) => Some(records),
            })
        };
        let record_count = records().map(BTreeSet::len).sum::<usize>();
        let mut plain = Vec::with_capacity(16 + self.packs.len() * ROW_LEN + record_count * ChunkId::LEN);
        for count in [VERSION as usize, self.packs.len(), record_count, self.snapshots.len()] {
            plain.extend_from_slice(&(count as u32).to_le_bytes());
        }
        for (pack, lost) in &self.packs {
            let count = match lost {
                Lost::All => ALL,
                Lost::Records(records) => records.len() as u32,
            };
            plain.extend_from_slice(pack.as_bytes());
            plain.extend_from_slice(&count.to_le_bytes());
            plain.extend_from_slice(&[0; 12]);
        }
        records().flatten().for_each(|record| plain.extend_from_slice(record.as_bytes()));
        self.snapshots.iter().for_each(|snapshot| plain.extend_from_slice(snapshot.as_bytes()));
        plain
    }

    /// Reads a plain body; packs, the records of each, and snapshots must ascend.
    pub fn decode(plain: &[u8]) -> Result<Self> {
        let unsorted = || FormatError::invalid(DAMAGED, "it is not sorted");
        let mut reader = Reader::new(DAMAGED, plain);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(FormatError::Version { what: DAMAGED, found: version, supported: VERSION });
        }
        let [packs, records, snapshots] = [reader.u32()?, reader.u32()?, reader.u32()?].map(u64::from);
        let expected = packs * ROW_LEN as u64 + records * ChunkId::LEN as u64 + snapshots * SnapshotId::LEN as u64;
        if expected != reader.remaining() as u64 {
            return Err(FormatError::invalid(DAMAGED, "its length does not match its counts"));
        }
        let mut counts = Vec::with_capacity(packs as usize);
        for _ in 0..packs {
            let pack = PackId::new(reader.array()?);
            let count = reader.u32()?;
            reader.bytes(12)?;
            counts.push((pack, count));
        }
        let listed: u64 = counts.iter().filter(|(_, count)| *count != ALL).map(|(_, count)| u64::from(*count)).sum();
        if listed != records {
            return Err(FormatError::invalid(DAMAGED, "its records are not those of its packs"));
        }
        let mut damaged = Self::default();
        for (pack, count) in counts {
            let lost = if count == ALL {
                Lost::All
            } else {
                let mut records = BTreeSet::new();
                for _ in 0..count {
                    let record = ChunkId::new(reader.array()?);
                    if records.last().is_some_and(|last| *last >= record) {
                        return Err(unsorted());
                    }
                    records.insert(record);
                }
                Lost::Records(records)
            };
            if damaged.packs.last_key_value().is_some_and(|(last, _)| *last >= pack) {
                return Err(unsorted());
            }
            damaged.packs.insert(pack, lost);
        }
        for _ in 0..snapshots {
            let snapshot = SnapshotId::new(reader.array()?);
            if damaged.snapshots.last().is_some_and(|last| *last >= snapshot) {
                return Err(unsorted());
            }
            damaged.snapshots.insert(snapshot);
        }
        reader.finish()?;
        Ok(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::ids::RepositoryId;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::derive(&MasterKey::from_bytes([5; 32]), RepositoryId::new([6; 16]))
    }

    fn pack(n: u8) -> PackId {
        PackId::new([n; 32])
    }

    fn results(rows: &BTreeMap<(u8, bool), (u64, bool)>) -> AuditResults {
        let row = |(&(n, is_full), &(time, is_good)): (&(u8, bool), &(u64, bool))| {
            let depth = if is_full { Depth::Full } else { Depth::Bytes };
            ((pack(n), depth), Verdict { time, is_good })
        };
        AuditResults { rows: rows.iter().map(row).collect() }
    }

    proptest! {
        #[test]
        fn results_open_under_their_own_name_alone(rows: BTreeMap<(u8, bool), (u64, bool)>) {
            let (keys, results) = (keys(), results(&rows));
            let stored = results.seal(&keys, "audit/check-1").unwrap();
            prop_assert_eq!(&AuditResults::open(&keys, "audit/check-1", &stored).unwrap(), &results);
            prop_assert!(AuditResults::open(&keys, "audit/check-2", &stored).is_err());
        }

        #[test]
        fn a_text_gives_back_the_rows_that_need_no_key(rows: BTreeMap<(u8, bool), (u64, bool)>) {
            let mut expected = results(&rows);
            let text = expected.to_text();
            expected.rows.retain(|(_, depth), _| *depth == Depth::Bytes);
            prop_assert_eq!(AuditResults::read_text(&text).unwrap(), expected);
        }

        #[test]
        fn merging_keeps_the_newest_whatever_the_order(
            left: BTreeMap<(u8, bool), (u64, bool)>, right: BTreeMap<(u8, bool), (u64, bool)>,
        ) {
            let (left, right) = (results(&left), results(&right));
            let (mut one, mut other) = (left.clone(), right.clone());
            one.merge(&right);
            other.merge(&left);
            prop_assert_eq!(&one, &other);
            for (key, verdict) in &one.rows {
                let newest = [&left, &right].into_iter().filter_map(|side| side.rows.get(key)).map(|side| side.time).max();
                prop_assert_eq!(Some(verdict.time), newest);
            }
        }

        #[test]
        fn what_is_damaged_is_given_back(
            packs: BTreeMap<u8, Option<BTreeSet<u8>>>, snapshots: BTreeSet<u8>,
        ) {
            let damaged = Damaged {
                packs: packs.into_iter().map(|(n, records)| (pack(n), match records {
                    None => Lost::All,
                    Some(records) => Lost::Records(records.into_iter().map(|n| ChunkId::new([n; 32])).collect()),
                })).collect(),
                snapshots: snapshots.into_iter().map(|n| SnapshotId::new([n; 16])).collect(),
            };
            let keys = keys();
            prop_assert_eq!(Damaged::open(&keys, &damaged.seal(&keys).unwrap()).unwrap(), damaged);
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (AuditResults::decode(&bytes), AuditResults::read_text(&bytes), Damaged::decode(&bytes));
        }
    }

    #[test]
    fn of_two_verdicts_at_the_same_time_the_bad_one_counts() {
        let row = |is_good| results(&[((1, true), (7, is_good))].into());
        for (mut first, second) in [(row(true), row(false)), (row(false), row(true))] {
            first.merge(&second);
            assert_eq!(first, row(false));
        }
    }

    #[test]
    fn wrong_counts_orders_and_words_are_refused() {
        let plain = results(&[((1, false), (7, true)), ((2, true), (8, false))].into()).encode();
        AuditResults::decode(&plain).unwrap();
        let swapped = [&plain[..8], &plain[56..], &plain[8..56]].concat();
        let change = |at: usize, byte: u8| {
            let mut changed = plain.clone();
            changed[at] = byte;
            changed
        };
        for refused in
            [swapped, plain[..100].to_vec(), change(4, 3), change(8 + 40, 3), change(8 + 41, 2), change(0, 2)]
        {
            assert!(AuditResults::decode(&refused).is_err());
        }
        let line = format!("{} good 7\n", "01".repeat(32));
        for (text, is_read) in [
            (format!("{FIRST_LINE}\n{line}"), true),
            (format!("{FIRST_LINE}\n{line}{line}"), false),
            (format!("{FIRST_LINE}\n{}", line.replace("good", "fine")), false),
            (format!("{FIRST_LINE}\n{}", line.replace('7', "-7")), false),
            (line.clone(), false),
        ] {
            assert_eq!(AuditResults::read_text(&with_hash_line(text.clone())).is_ok(), is_read, "{text}");
        }
        let damaged = Damaged {
            packs: [(pack(1), Lost::All), (pack(2), Lost::Records([ChunkId::new([3; 32])].into()))].into(),
            ..Damaged::default()
        };
        let plain = damaged.encode();
        for (at, byte) in [(0, 2), (4, 1), (8, 2), (12, 1), (16 + 32, 1), (16 + 48 + 32, 2), (16, 9)] {
            let mut changed = plain.clone();
            changed[at] = byte;
            assert!(Damaged::decode(&changed).is_err(), "byte {at}");
        }
    }
}

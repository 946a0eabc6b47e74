//! Marks as the last collection on this host left them, in a file beside the local index.
//!
//! The file holds facts that never change, so that it is right whatever the log says by now: what segments say of packs, known by
//! their digests, and that these snapshots need those records. A collection that goes on from it leaves out the rows of packs that are
//! gone, adds those of packs that came, takes back what nothing needs any more, and proves the sums ([`Table::is_proven`]).
//!
//! A cache like the local index: it may be deleted at any time, and one that does not fit its check, or is another repository's, is not
//! there. It holds ids and starts of ids.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backstay_format::ids::{ChunkId, PackId, RepositoryId};
use backstay_format::pack::PackKind;

use super::table::{BUCKET_BITS_MIN, Need, PackUse, Place, Table};
use crate::closure::Role;
use crate::index::mix;

/// Changes with the layout, and with what a node is said to name: a file of another schema is left alone, it has another name.
const SCHEMA: u32 = 1;
/// Numbers that are converted together.
const BLOCK: usize = 8192;

/// Which marks these are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// What the snapshots name themselves, sorted; as often as they name it.
    pub(super) roots: Vec<(ChunkId, Role)>,
    /// Nodes.
    pub(super) nodes: u64,
    /// What [`Table::weight`] is.
    pub(super) weight: u64,
}

/// Whose marks they are.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) repository: RepositoryId,
    pub(super) fingerprint: [u8; 16],
}

impl Owner {
    fn header(self) -> [u8; 36] {
        let mut header = [0; 36];
        header[..4].copy_from_slice(&SCHEMA.to_le_bytes());
        header[4..20].copy_from_slice(self.repository.as_bytes());
        header[20..].copy_from_slice(&self.fingerprint);
        header
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(format!("marks-{SCHEMA}"))
}

/// Writes the file anew, as a whole or not at all. The table has been compacted.
pub(super) fn write(folder: &Path, owner: Owner, table: &Table, counted: &Counted) -> io::Result<()> {
    let path = path(folder);
    let unfinished = path.with_extension("unfinished");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut out = Out { file: BufWriter::with_capacity(1 << 20, file), sum: Sum::default() };
    let written = write_all(&mut out, owner, table, counted).and_then(|()| {
        let sum = out.sum.value();
        out.bytes(&sum.to_le_bytes())?;
        out.file.flush()
    });
    let written = written.and_then(|()| fs::rename(&unfinished, &path));
    if written.is_err() {
        // What is left of it would never be read, but takes room.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn write_all(out: &mut Out, owner: Owner, table: &Table, counted: &Counted) -> io::Result<()> {
    out.bytes(&owner.header())?;
    out.numbers([u64::from(table.bucket_bits), counted.nodes, counted.weight])?;
    out.numbers([counted.roots.len() as u64])?;
    for (root, role) in &counted.roots {
        out.bytes(root.as_bytes())?;
        out.bytes(&[u8::from(*role == Role::Node)])?;
    }
    out.list(table.ambiguous.iter().map(|start| [*start]))?;
    out.list(table.many.iter().map(|(start, uses)| [*start, u64::from(*uses)]))?;
    out.list(table.rowless.iter().map(|(start, it)| [*start, u64::from(it.uses), u64::from(it.is_counted)]))?;
    out.numbers([table.packs().len() as u64])?;
    for pack in table.packs() {
        out.bytes(pack.id.as_bytes())?;
        out.numbers([pack.kind as u64, pack.size_bytes, pack.digest as u64, pack.rows_weight])?;
    }
    out.numbers([table.rests.len() as u64])?;
    out.array(&table.buckets, |number| number.to_le_bytes())?;
    out.array(&table.rests, |number| number.to_le_bytes())?;
    out.array(&table.places, |place| place.0.to_le_bytes())
}

/// What the last collection left, if it is there and fits.
pub(super) fn read(folder: &Path, owner: Owner) -> Option<(Table, Counted)> {
    // One that died while it wrote.
    let _ = fs::remove_file(path(folder).with_extension("unfinished"));
    let file = File::open(path(folder)).ok()?;
    let size_bytes = file.metadata().ok()?.len();
    let mut input = In { file: BufReader::with_capacity(1 << 20, file), sum: Sum::default(), left_bytes: size_bytes };
    let read = read_all(&mut input, owner);
    if read.is_none() {
        tracing::info!("the marks of the last collection are of no use");
    }
    read
}

fn read_all(input: &mut In, owner: Owner) -> Option<(Table, Counted)> {
    if input.bytes::<36>()? != owner.header() {
        return None;
    }
    let [bucket_bits, nodes, weight] = input.numbers()?;
    let bucket_bits = u32::try_from(bucket_bits).ok().filter(|bits| (BUCKET_BITS_MIN..=32).contains(bits))?;
    let mut counted = Counted { nodes, weight, ..Counted::default() };
    for _ in 0..input.count(ChunkId::LEN + 1)? {
        let (root, [is_node]) = (ChunkId::new(input.bytes()?), input.bytes()?);
        counted.roots.push((root, if is_node == 1 { Role::Node } else { Role::Data }));
    }
    let mut table = Table::with_bucket_bits(bucket_bits);
    table.ambiguous = input.list::<1>()?.map(|[start]| start).collect();
    table.many = input.list::<2>()?.map(|[start, uses]| (start, uses as u32)).collect();
    let need = |uses: u64, is_counted| Need { uses: uses as u32, is_counted: is_counted == 1 };
    table.rowless = input.list::<3>()?.map(|[start, uses, is_counted]| (start, need(uses, is_counted))).collect();
    for _ in 0..input.count(PackId::LEN + 32)? {
        let id = PackId::new(input.bytes()?);
        let [kind, size_bytes, digest, rows_weight] = input.numbers()?;
        let kind = if kind == PackKind::Data as u64 { PackKind::Data } else { PackKind::Tree };
        table.push_pack(PackUse { rows_weight, ..PackUse::new(id, kind, size_bytes, digest as i64) });
    }
    let rows = input.count(4 + 8)?;
    table.buckets = input.array((1 << bucket_bits) + 1, u32::from_le_bytes)?;
    table.rests = input.array(rows, u32::from_le_bytes)?;
    table.places = input.array(rows, |bytes| Place(u64::from_le_bytes(bytes)))?;
    let sum = input.sum.value();
    (input.numbers()? == [sum] && input.left_bytes == 0 && table.is_well_formed()).then_some((table, counted))
}

struct Out {
    file: BufWriter<File>,
    sum: Sum,
}

impl Out {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.add(bytes);
        self.file.write_all(bytes)
    }

    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) -> io::Result<()> {
        numbers.iter().try_for_each(|number| self.bytes(&number.to_le_bytes()))
    }

    fn list<const N: usize>(&mut self, list: impl ExactSizeIterator<Item = [u64; N]>) -> io::Result<()> {
        self.numbers([list.len() as u64])?;
        list.into_iter().try_for_each(|numbers| self.numbers(numbers))
    }

    fn array<T: Copy, const N: usize>(&mut self, array: &[T], bytes_of: impl Fn(T) -> [u8; N]) -> io::Result<()> {
        for block in array.chunks(BLOCK) {
            let bytes: Vec<u8> = block.iter().flat_map(|value| bytes_of(*value)).collect();
            self.bytes(&bytes)?;
        }
        Ok(())
    }
}

struct In {
    file: BufReader<File>,
    sum: Sum,
    left_bytes: u64,
}

impl In {
    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        self.left_bytes = self.left_bytes.checked_sub(bytes.len() as u64)?;
        self.file.read_exact(bytes).ok()?;
        self.sum.add(bytes);
        Some(())
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Some(bytes)
    }

    fn numbers<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u64::from_le_bytes(self.bytes()?);
        }
        Some(numbers)
    }

    /// A number of things of so many bytes each: no more than the file can hold.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let [count] = self.numbers()?;
        (count <= self.left_bytes / bytes_each as u64).then_some(count as usize)
    }

    fn list<const N: usize>(&mut self) -> Option<std::vec::IntoIter<[u64; N]>> {
        let count = self.count(8 * N)?;
        let list: Option<Vec<_>> = (0..count).map(|_| self.numbers()).collect();
        Some(list?.into_iter())
    }

    fn array<T, const N: usize>(&mut self, count: usize, of_bytes: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
        if (count * N) as u64 > self.left_bytes {
            return None;
        }
        let mut array = Vec::with_capacity(count);
        let mut bytes = vec![0; BLOCK.min(count) * N];
        while array.len() < count {
            let block = &mut bytes[..BLOCK.min(count - array.len()) * N];
            self.fill(block)?;
            array.extend(block.chunks_exact(N).map(|bytes| of_bytes(bytes.try_into().expect("as long as a number"))));
        }
        Some(array)
    }
}

/// The check of the bytes before it: against decay, as in the local index.
#[derive(Default)]
struct Sum {
    sum: u64,
    /// The beginning of a word, as long as the rest of it is to come.
    word: [u8; 8],
    length: u64,
}

impl Sum {
    fn add(&mut self, mut bytes: &[u8]) {
        let begun = (self.length % 8) as usize;
        self.length += bytes.len() as u64;
        if begun > 0 {
            let (more, rest) = bytes.split_at(bytes.len().min(8 - begun));
            self.word[begun..begun + more.len()].copy_from_slice(more);
            if begun + more.len() < 8 {
                return;
            }
            self.sum = mix(self.sum, u64::from_le_bytes(self.word));
            bytes = rest;
        }
        let words = bytes.chunks_exact(8);
        self.word[..words.remainder().len()].copy_from_slice(words.remainder());
        let each = words.map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        self.sum = each.fold(self.sum, mix);
    }

    fn value(&self) -> u64 {
        let mut last = [0; 8];
        let begun = (self.length % 8) as usize;
        last[..begun].copy_from_slice(&self.word[..begun]);
        mix(mix(self.sum, u64::from_le_bytes(last)), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::gc::table::{Prefix, WholeIds};

    const OWNER: Owner = Owner { repository: RepositoryId::new([1; 16]), fingerprint: [2; 16] };

    fn id(number: u64) -> ChunkId {
        let mut bytes = [7; ChunkId::LEN];
        bytes[..8].copy_from_slice(&(number << 48).to_be_bytes());
        ChunkId::new(bytes)
    }

    struct Nobody;

    impl WholeIds for Nobody {
        fn places(&self, _: &ChunkId) -> Result<usize> {
            unreachable!("nothing begins alike")
        }

        fn is_only_node(&self, _: &ChunkId, _: (Prefix, Prefix)) -> Result<bool> {
            unreachable!("no node waits")
        }
    }

    fn marks() -> (Table, Counted) {
        let mut table = Table::with_bucket_bits(BUCKET_BITS_MIN);
        table.end_rows();
        let numbers = [1, 2].map(|pack| table.push_pack(PackUse::new(PackId::new([pack; 32]), PackKind::Data, 9, 3)));
        let rows: Vec<_> = (0..20_000).map(|number| (id(number), numbers[number as usize % 2], 100)).collect();
        table.insert(&rows, &Nobody).unwrap();
        for number in std::iter::repeat_n(5, 3000).chain([6, 7, 7]) {
            assert!(table.add_use(number << 48));
        }
        table.rowless.insert(9, Need { uses: 3, is_counted: true });
        table.ambiguous.insert(77);
        let roots = vec![(id(1), Role::Node), (id(1), Role::Node), (id(2), Role::Data)];
        (table, Counted { roots, nodes: 6, weight: 8 })
    }

    #[test]
    fn the_check_does_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..100u32).map(|number| (number * 7) as u8).collect();
        let sum_in = |size: usize, length: usize| {
            let mut sum = Sum::default();
            bytes[..length].chunks(size).for_each(|part| sum.add(part));
            sum.value()
        };
        for length in 0..bytes.len() {
            let whole = sum_in(100, length);
            assert!((1..30).all(|size| sum_in(size, length) == whole), "{length}");
            assert!(whole != sum_in(100, length + 1));
        }
    }

    #[test]
    fn what_one_collection_leaves_the_next_one_finds() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path(), OWNER).is_none());
        let (table, counted) = marks();
        for _ in 0..2 {
            write(folder.path(), OWNER, &table, &counted).unwrap();
        }
        let (found, also) = read(folder.path(), OWNER).unwrap();
        assert_eq!(also, counted);
        assert_eq!((found.weight(), found.rows()), (table.weight(), table.rows()));
        assert_eq!((&found.buckets, &found.rests, &found.places), (&table.buckets, &table.rests, &table.places));
        assert_eq!((&found.many, &found.rowless, &found.ambiguous), (&table.many, &table.rowless, &table.ambiguous));
        let of = |table: &Table| table.packs().iter().map(|it| (it.id, it.size_bytes, it.digest)).collect::<Vec<_>>();
        assert_eq!(of(&found), of(&table));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for other in
            [Owner { repository: RepositoryId::new([9; 16]), ..OWNER }, Owner { fingerprint: [9; 16], ..OWNER }]
        {
            assert!(read(folder.path(), other).is_none());
        }
    }

    #[test]
    fn a_file_of_which_any_byte_is_wrong_or_missing_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (table, counted) = marks();
        write(folder.path(), OWNER, &table, &counted).unwrap();
        let stored = fs::read(path(folder.path())).unwrap();
        let lengths = (0..stored.len()).step_by(stored.len() / 97).chain([stored.len() - 1]);
        for length in lengths {
            let mut flipped = stored.clone();
            flipped[length] ^= 1 << (length % 8);
            let longer = [&stored[..], &[0]].concat();
            for bytes in [&flipped[..], &stored[..length], &longer] {
                fs::write(path(folder.path()), bytes).unwrap();
                assert!(read(folder.path(), OWNER).is_none(), "byte {length}");
            }
        }
    }
}

//! `golden/v1` is a small whole repository, made once by `make` below. It is never made anew: whatever this version wrote must
//! be readable for ever. A later format gets a folder of its own beside it.
//!
//! `docs/reference/decode.py` reads the same folder without any of this crate's code.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use backstay_format::audit::{AuditResults, Damaged, Depth, Lost, Verdict};
use backstay_format::checkpoint::{Checkpoint, ListedSnapshot};
use backstay_format::compress::{DEFAULT_LEVEL, Hint};
use backstay_format::config::{Access, Config, KeySlot, Secret};
use backstay_format::crypto::{Keys, MasterKey, RecordKind, stored_hash};
use backstay_format::envelope::{self, EnvelopeKind};
use backstay_format::ids::{ChunkId, EntryHash, KeyId, PackId, RepositoryId, SegmentId, SnapshotId, WriterId};
use backstay_format::log::{
    Amendment, Change, LedgerRef, LogEntry, SegmentRecord, SnapshotKind, SnapshotRecord, Summary, TreeRef,
};
use backstay_format::pack::{PackBuilder, PackKind, PackedRecord, read_directory, scan_records, verify_pack_name};
use backstay_format::record::{RECORD_HEADER_LEN, Sealer};
use backstay_format::segment::Segment;
use backstay_format::tree::{
    Content, ContentBuilder, ContentNode, Extension, Extent, Item, ItemKind, Node, Time, TreeBuilder, TreeShape, Xattr,
    key_of_path,
};
use serde_json::json;

const SHAPE: TreeShape = TreeShape { min_bytes: 256, target_bytes: 512, max_bytes: 2048 };
const TIME: &str = "2026-01-02T03:04:05Z";
const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/v1")
}

/// The master key is the bytes 0 to 31, the repository's id is all 0xa5.
pub(crate) fn keys() -> Keys {
    Keys::derive(&MasterKey::from_bytes(std::array::from_fn(|n| n as u8)), repository())
}

fn repository() -> RepositoryId {
    RepositoryId::new([0xa5; 16])
}

fn key_file() -> Secret {
    Secret::KeyFile(vec![0x42; 48].into())
}

fn password() -> Secret {
    Secret::Password(PASSWORD.to_owned().into())
}

/// One chunk per codec, by the name that the items below use.
fn chunks() -> BTreeMap<&'static str, (Vec<u8>, Hint)> {
    let noise: Vec<u8> = (0..10u8).flat_map(|n| stored_hash(&[n])).collect();
    let text = "All that is not given is lost.\n".repeat(200).into_bytes();
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "golden", "namespace": "default"}});
    BTreeMap::from([
        ("noise", (noise, Hint::Plain)),
        ("object", (object.to_string().into_bytes(), Hint::SmallJson)),
        ("text", (text, Hint::Plain)),
    ])
}

fn chunk_id(keys: &Keys, name: &str) -> ChunkId {
    keys.name(RecordKind::Data, &chunks()[name].0)
}

/// The extents of a file that is too long for its item: bytes of the text, one by one, and a hole.
fn long_extents(keys: &Keys) -> Vec<Extent> {
    let id = chunk_id(keys, "text");
    let mut extents: Vec<Extent> = (0..3000).map(|offset| Extent::Part { id, offset, len: 1 }).collect();
    extents.insert(1500, Extent::Hole { len: 5_000_000_000 });
    extents
}

/// Every kind of item with every optional part, and enough plain ones for two levels of nodes.
fn items(keys: &Keys, long: Content) -> Vec<Item> {
    let base = |path: &str, kind: ItemKind| Item { kind, ..Item::bare_directory(key_of_path(path.as_bytes())) };
    let file = |path: &str, content: Content, hash| {
        let size_bytes = content.length().unwrap();
        base(path, ItemKind::File { size_bytes, content, hash, racy: path.ends_with("racy") })
    };
    let chunk = |name: &str| Extent::Chunk { id: chunk_id(keys, name), len: chunks()[name].0.len() as u32 };
    let part = Extent::Part { id: chunk_id(keys, "text"), offset: 31, len: 31 };
    let mut items = vec![
        base("", ItemKind::Directory),
        base("block", ItemKind::BlockDevice { major: 8, minor: 1 << 20 }),
        base("char", ItemKind::CharDevice { major: 1, minor: 3 }),
        base("fifo", ItemKind::Fifo),
        file("file/empty", Content::EMPTY, None),
        file("file/holes", Content::Extents(vec![Extent::Hole { len: 1 << 62 }, chunk("noise"), chunk("text")]), None),
        file("file/long", long, None),
        file("file/part", Content::Extents(vec![part]), Some(keys.content_hash(b"All that is not given is lost.\n"))),
        file("file/racy", Content::Extents(vec![chunk("noise")]), None),
        base("hardlink", ItemKind::HardLink { target: key_of_path(b"file/part") }),
        file("resources/configmaps/namespaces/default/golden.json", Content::Extents(vec![chunk("object")]), None),
        base("symlink", ItemKind::Symlink { target: b"../\xff/elsewhere".to_vec() }),
        Item {
            mode: 0o7777,
            uid: u32::MAX,
            gid: 1000,
            user: Some("nobody".into()),
            group: Some("staff".into()),
            modified: Time { seconds: -1, nanoseconds: 999_999_999 },
            changed: Time { seconds: 1_767_323_045, nanoseconds: 1 },
            inode: u64::MAX,
            xattrs: vec![
                Xattr { name: b"user.a".to_vec(), value: vec![0, 255] },
                Xattr { name: b"user.b".to_vec(), value: Vec::new() },
            ],
            extensions: vec![Extension { number: 300, value: b"later".to_vec() }],
            ..base("whole", ItemKind::Directory)
        },
    ];
    items.extend((0..1500).map(|n| base(&format!("x/{n:04}"), ItemKind::Directory)));
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items
}

fn ledger() -> Vec<u8> {
    b"{\"path\":\"run/socket\",\"reason\":\"socket\",\"failed\":false}\n".to_vec()
}

fn snapshot(keys: &Keys, tree: TreeRef) -> SnapshotRecord {
    SnapshotRecord {
        id: SnapshotId::new([0x11; 16]),
        kind: SnapshotKind::Files,
        source: "golden".to_owned(),
        started: TIME.to_owned(),
        finished: TIME.to_owned(),
        host: "host".to_owned(),
        user: "user".to_owned(),
        program: "backstay 0.1.0".to_owned(),
        paths: vec!["/".to_owned()],
        incomplete: false,
        accepted: false,
        flags: vec!["far fewer items".to_owned()],
        parents: vec![SnapshotId::new([0x22; 16])],
        tree,
        summary: Summary { files: 6, directories: 1502, others: 5, size_bytes: 1, ..Summary::default() },
        ledger: LedgerRef { chunks: vec![keys.name(RecordKind::Ledger, &ledger())], noted: 1, ..LedgerRef::default() },
        profile: "default".to_owned(),
        tags: vec!["tag".to_owned()],
        labels: [("team".to_owned(), "a".to_owned())].into(),
        annotations: [("note".to_owned(), "b".to_owned())].into(),
        expires: Some("2036-01-01T00:00:00Z".to_owned()),
        holds: vec!["audit".to_owned()],
        volumes: [("default/data".to_owned(), SnapshotId::new([0x33; 16]))].into(),
        cluster: None,
        extra: [("later".to_owned(), json!({"kept": 1}))].into(),
    }
}

fn entry(slot: u64, previous: Option<EntryHash>, change: Change) -> LogEntry {
    LogEntry {
        slot,
        previous,
        writer: WriterId::new([0x44; 16]),
        nonce: WriterId::new([slot as u8; 16]),
        time: TIME.to_owned(),
        program: "backstay 0.1.0".to_owned(),
        reason: "backup".to_owned(),
        change,
        extra: [("later".to_owned(), json!([1, "two"]))].into(),
    }
}

/// The second entry uses every list that the first does not.
fn second_change() -> Change {
    Change {
        snapshots_forgotten: vec![SnapshotId::new([0x55; 16])],
        snapshots_amended: vec![Amendment {
            snapshot: SnapshotId::new([0x11; 16]),
            accepted: Some(true),
            tags: Some(Vec::new()),
            holds: Some(vec!["law".to_owned()]),
            expires: Some(String::new()),
            extra: [].into(),
        }],
        segments_removed: vec![SegmentId::new([0x66; 32])],
        packs_retired: vec![PackId::new([0x77; 32])],
        packs_condemned: vec![PackId::new([0x88; 32])],
        packs_reprieved: vec![PackId::new([0x99; 32])],
        ..Change::default()
    }
}

fn writer_document() -> Vec<u8> {
    format!("{{\"base\":1,\"time\":\"{TIME}\",\"program\":\"backstay 0.1.0\"}}").into_bytes()
}

type Plain = BTreeMap<ChunkId, (RecordKind, Vec<u8>)>;

/// All plain nodes of the tree, its root, and its items: the same bytes whenever they are made.
fn tree(keys: &Keys) -> (Plain, TreeRef, Vec<Item>) {
    let mut plain = Plain::new();
    let mut store = |kind: RecordKind, bytes: &[u8]| -> Result<ChunkId, Infallible> {
        let id = keys.name(kind, bytes);
        plain.insert(id, (kind, bytes.to_vec()));
        Ok(id)
    };
    let mut contents = ContentBuilder::new();
    for extent in long_extents(keys) {
        let Ok(()) = contents.push(extent, &mut store);
    }
    let Ok(long) = contents.finish(&mut store);
    let items = items(keys, long);
    let mut builder = TreeBuilder::new(keys, SHAPE);
    for item in &items {
        let Ok(()) = builder.push(item, &mut store);
    }
    let Ok(root) = builder.finish(&mut store);
    (plain, root, items)
}

/// Writes the folder. Salts and nonces are random, so that it would be other bytes each time: run once, by
/// `BACKSTAY_MAKE_GOLDEN=1 cargo test -p backstay-format --test it golden` in an empty folder.
fn make(folder: &Path) {
    let put = |name: String, bytes: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let keys = keys();
    let mut config = Config::new(repository(), TIME.to_owned(), true);
    config.features.compatible.push("golden".to_owned());
    config.trees.files = SHAPE;
    config.extra.insert("later".to_owned(), json!({"kept": true}));
    put("config".to_owned(), &config.seal(&keys));
    let master = MasterKey::from_bytes(std::array::from_fn(|n| n as u8));
    for (secret, label) in [(password(), "by password"), (key_file(), "by key file")] {
        let slot = KeySlot::seal(&master, &secret, repository(), label, TIME).unwrap();
        put(format!("keys/{}", slot.id), &slot.bytes);
    }

    let (plain, root, _) = tree(&keys);
    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
    let mut data = PackBuilder::new(PackKind::Data, 0).unwrap();
    for (bytes, hint) in chunks().values() {
        let id = keys.name(RecordKind::Data, bytes);
        data.push(&sealer.seal(RecordKind::Data, id, bytes, *hint).unwrap());
    }
    let mut trees = PackBuilder::new(PackKind::Tree, 0).unwrap();
    for (id, (kind, bytes)) in &plain {
        trees.push(&sealer.seal(*kind, *id, bytes, Hint::Plain).unwrap());
    }
    let id = keys.name(RecordKind::Ledger, &ledger());
    trees.push(&sealer.seal(RecordKind::Ledger, id, &ledger(), Hint::Plain).unwrap());
    let mut segment = Segment::new(0);
    for pack in [data, trees].map(|pack| pack.finish(&keys).unwrap()) {
        segment.push_pack(&pack);
        put(format!("packs/{}/{}", &pack.id.to_string()[..2], pack.id), &pack.bytes);
    }
    let segment = segment.seal(&keys).unwrap();
    put(format!("index/{}", segment.id), &segment.bytes);

    let first = Change {
        snapshots_added: vec![snapshot(&keys, root)],
        segments_added: vec![SegmentRecord { id: segment.id, base: 0, entries: segment.entries, extra: [].into() }],
        ..Change::default()
    };
    let mut previous = None;
    for (slot, change) in [(1u64, first), (2, second_change())] {
        let document = serde_json::to_vec(&entry(slot, previous, change)).unwrap();
        let stored = envelope::seal(&keys, EnvelopeKind::LogEntry, &slot.to_le_bytes(), &document).unwrap();
        previous = Some(EntryHash::of(&stored));
        put(format!("log/00000000/{slot:016x}"), &stored);
    }
    let writer = WriterId::new([0x44; 16]);
    let stored = envelope::seal(&keys, EnvelopeKind::Writer, writer.as_bytes(), &writer_document()).unwrap();
    put(format!("writers/{writer}"), &stored);
}

const CHECKED: &str = "audit/check-55555555555555555555555555555555";
const SCRUBBED: &str = "audit/scrub-66666666666666666666666666666666";

fn audit_results() -> AuditResults {
    let row = |pack, depth, time, is_good| ((PackId::new([pack; 32]), depth), Verdict { time, is_good });
    let rows = [
        row(0x77, Depth::Bytes, 1_767_323_045, true),
        row(0x77, Depth::Full, 1_767_323_046, false),
        row(0x88, Depth::Bytes, 0, false),
    ];
    AuditResults { rows: rows.into() }
}

fn damaged() -> Damaged {
    let lost = Lost::Records([ChunkId::new([1; 32]), ChunkId::new([2; 32])].into());
    let packs = [(PackId::new([0x77; 32]), lost), (PackId::new([0x88; 32]), Lost::All)];
    Damaged { packs: packs.into(), snapshots: [SnapshotId::new([0x11; 16])].into() }
}

/// Writes what audits leave, which came later than the rest.
fn make_audit(folder: &Path) {
    let keys = keys();
    fs::create_dir_all(folder.join("audit")).unwrap();
    for (name, stored) in [
        (CHECKED, audit_results().seal(&keys, CHECKED).unwrap()),
        (SCRUBBED, audit_results().to_text()),
        ("audit/damage", damaged().seal(&keys).unwrap()),
    ] {
        if !folder.join(name).exists() {
            fs::write(folder.join(name), stored).unwrap();
        }
    }
}

const CHECKPOINT: &str = "ckpt/0000000000000002";

/// What the two entries come to. Nothing can be restored: the second entry retires a pack.
fn checkpoint() -> Checkpoint {
    let keys = keys();
    let mut record = snapshot(&keys, tree(&keys).1);
    (record.accepted, record.tags, record.holds, record.expires) = (true, Vec::new(), vec!["law".to_owned()], None);
    let (name, stored) = objects("index").pop_first().unwrap();
    let entries = Segment::open(&keys, &stored).unwrap().entries.len() as u64;
    let id = last_part(&name).parse().unwrap();
    Checkpoint {
        slot: 2,
        hash: EntryHash::of(&object("log/00000000/0000000000000002")),
        listed: vec![ListedSnapshot { slot: 1, record }],
        forgotten: Vec::new(),
        segments: vec![SegmentRecord { id, base: 0, entries, extra: [].into() }],
        retired: vec![(PackId::new([0x77; 32]), 2)],
        condemned: vec![(PackId::new([0x88; 32]), 2)],
        packs_let_go: vec![(PackId::new([0x77; 32]), 2)],
        segments_let_go: vec![(SegmentId::new([0x66; 32]), 2)],
        ever_condemned: vec![(PackId::new([0x88; 32]), 2)],
    }
}

/// Writes the checkpoint, which came later than the rest.
#[test]
fn the_checkpoint_of_version_1_opens() {
    let path = folder().join(CHECKPOINT);
    if std::env::var_os("BACKSTAY_MAKE_GOLDEN").is_some() && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, checkpoint().seal(&keys()).unwrap()).unwrap();
    }
    assert_eq!(Checkpoint::open(&keys(), 2, &object(CHECKPOINT)).unwrap(), checkpoint());
}

/// The bytes of every object below a folder of the golden repository, by name.
pub(crate) fn objects(under: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = folder();
    if std::env::var_os("BACKSTAY_MAKE_GOLDEN").is_some() && !folder.exists() {
        make(&folder);
    }
    if std::env::var_os("BACKSTAY_MAKE_GOLDEN").is_some() {
        make_audit(&folder);
    }
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.join(under)];
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            folders.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

pub(crate) fn object(name: &str) -> Vec<u8> {
    objects(name).remove(name).unwrap()
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap()
}

struct Pack {
    bytes: Vec<u8>,
    records: Vec<PackedRecord>,
}

fn packs(keys: &Keys) -> BTreeMap<PackId, Pack> {
    objects("packs")
        .into_iter()
        .map(|(name, bytes)| {
            let id: PackId = last_part(&name).parse().unwrap();
            verify_pack_name(id, &bytes).unwrap();
            let records = read_directory(keys, &bytes).unwrap();
            (id, Pack { bytes, records })
        })
        .collect()
}

#[test]
fn config_and_key_slots_of_version_1_open() {
    let stored = object("config");
    let (config, access) = Config::read(&stored).unwrap().authenticate(&keys()).unwrap();
    assert_eq!((config.repository, access), (repository(), Access::ReadWrite));
    assert_eq!((config.pack_bytes, config.extra["later"]["kept"].as_bool()), (32 << 20, Some(true)));
    let mut opened = BTreeMap::new();
    for (name, stored) in objects("keys") {
        assert_eq!(last_part(&name).parse::<KeyId>().unwrap(), KeyId::new(stored_hash(&stored)));
        let slot = KeySlot::read(&stored).unwrap();
        for (kind, secret) in [("password", password()), ("key file", key_file())] {
            if let Some(master) = slot.open(&secret).unwrap() {
                let derived = Keys::derive(&master, repository());
                assert_eq!(derived.name(RecordKind::Data, b""), keys().name(RecordKind::Data, b""));
                opened.insert(kind, slot.label.clone());
            }
        }
    }
    assert_eq!(opened, [("password", "by password".to_owned()), ("key file", "by key file".to_owned())].into());
}

#[test]
fn packs_records_and_segments_of_version_1_open() {
    let keys = keys();
    let packs = packs(&keys);
    let (mut expected, _, _) = tree(&keys);
    for (bytes, _) in chunks().into_values() {
        expected.insert(keys.name(RecordKind::Data, &bytes), (RecordKind::Data, bytes));
    }
    expected.insert(keys.name(RecordKind::Ledger, &ledger()), (RecordKind::Ledger, ledger()));

    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
    let (mut found, mut codecs) = (Plain::new(), Vec::new());
    for pack in packs.values() {
        assert_eq!(scan_records(&pack.bytes, &mut |_| true), pack.records);
        for record in &pack.records {
            let mut plain = Vec::new();
            let header = sealer.open(&pack.bytes[record.offset as usize..], &mut plain).unwrap();
            assert_eq!((header.id, header.kind, header.raw_len as usize), (record.id, record.kind, plain.len()));
            codecs.push(pack.bytes[record.offset as usize + 5]);
            found.insert(record.id, (record.kind, plain));
        }
    }
    codecs.sort_unstable();
    codecs.dedup();
    assert_eq!(codecs, [0, 1, 2]);
    assert!(found == expected, "every record gives back its bytes");

    let segments = objects("index");
    assert_eq!(segments.len(), 1);
    for (name, stored) in segments {
        assert_eq!(last_part(&name).parse::<SegmentId>().unwrap(), SegmentId::new(stored_hash(&stored)));
        let segment = Segment::open(&keys, &stored).unwrap();
        assert_eq!((segment.base, segment.entries.len()), (0, expected.len()));
        for entry in segment.entries {
            let pack = &packs[&segment.packs[entry.pack as usize].id];
            let record = pack.records.iter().find(|record| record.id == entry.id).unwrap();
            assert_eq!(
                (record.offset, record.stored_len, record.raw_len),
                (entry.offset, entry.stored_len, entry.raw_len)
            );
            assert!(entry.stored_len as usize > RECORD_HEADER_LEN);
        }
    }
}

#[test]
fn log_and_writer_records_of_version_1_open() {
    let keys = keys();
    let (_, root, _) = tree(&keys);
    let mut previous = None;
    for (slot, (name, stored)) in (1u64..).zip(objects("log")) {
        assert_eq!(name, format!("log/00000000/{slot:016x}"));
        let document = envelope::open(&keys, EnvelopeKind::LogEntry, &slot.to_le_bytes(), &stored).unwrap();
        let found: LogEntry = serde_json::from_slice(&document).unwrap();
        let change = if slot == 1 {
            assert_eq!(found.change.segments_added.len(), 1);
            Change {
                snapshots_added: vec![snapshot(&keys, root)],
                segments_added: found.change.segments_added.clone(),
                ..Change::default()
            }
        } else {
            second_change()
        };
        assert_eq!(found, entry(slot, previous, change));
        previous = Some(EntryHash::of(&stored));
    }
    assert!(previous.is_some());
    let writer = WriterId::new([0x44; 16]);
    let stored = object(&format!("writers/{writer}"));
    assert_eq!(envelope::open(&keys, EnvelopeKind::Writer, writer.as_bytes(), &stored).unwrap(), writer_document());
}

#[test]
fn what_audits_of_version_1_left_opens() {
    let keys = keys();
    assert_eq!(AuditResults::open(&keys, CHECKED, &object(CHECKED)).unwrap(), audit_results());
    let mut without_keys = audit_results();
    without_keys.rows.retain(|(_, depth), _| *depth == Depth::Bytes);
    assert_eq!(AuditResults::read_text(&object(SCRUBBED)).unwrap(), without_keys);
    assert_eq!(Damaged::open(&keys, &object("audit/damage")).unwrap(), damaged());
}

#[test]
fn tree_and_content_nodes_of_version_1_give_back_every_kind_of_item() {
    let keys = keys();
    let mut sealer = Sealer::new(&keys, DEFAULT_LEVEL).unwrap();
    let mut nodes = BTreeMap::new();
    for pack in packs(&keys).values() {
        for record in &pack.records {
            let mut plain = Vec::new();
            sealer.open(&pack.bytes[record.offset as usize..], &mut plain).unwrap();
            nodes.insert(record.id, plain);
        }
    }
    let (_, root, expected) = tree(&keys);
    assert_eq!(root.level, 2, "there are leaves and two levels of inner nodes");
    let mut found = Vec::new();
    items_below(&nodes, root.root, root.level, &mut found);
    assert_eq!(found, expected);
    let long = found.iter().find(|item| item.key == key_of_path(b"file/long")).unwrap();
    let ItemKind::File { content: Content::Node { root, level: 1 }, .. } = &long.kind else { panic!("{long:?}") };
    let mut extents = Vec::new();
    extents_below(&nodes, root.id, 1, &mut extents);
    assert_eq!(extents, long_extents(&keys));
}

fn items_below(nodes: &BTreeMap<ChunkId, Vec<u8>>, id: ChunkId, level: u8, out: &mut Vec<Item>) {
    match Node::decode(&nodes[&id], level).unwrap() {
        Node::Leaf(items) => out.extend(items),
        Node::Inner(children) => {
            for child in children {
                items_below(nodes, child.id, level - 1, out);
            }
        }
    }
}

fn extents_below(nodes: &BTreeMap<ChunkId, Vec<u8>>, id: ChunkId, level: u8, out: &mut Vec<Extent>) {
    match ContentNode::decode(&nodes[&id], level).unwrap() {
        ContentNode::Extents(extents) => out.extend(extents),
        ContentNode::Children(children) => {
            for child in children {
                extents_below(nodes, child.id, level - 1, out);
            }
        }
    }
}

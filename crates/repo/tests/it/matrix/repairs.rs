//! Damaged repositories to begin with, what can be saved of them, and the repairs that do it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use backstay_format::ids::{ChunkId, PackId};
use backstay_format::pack::PackKind;
use backstay_format::tree::{Content, Extent, Item, ItemKind};
use backstay_repo::repair::{Depth, IndexPlan, PacksPlan, SnapshotsPlan};
use backstay_repo::{Progress, Repository, Result, names};
use backstay_testkit::simulation::{Fate, Life, Objects, Process, World};
use bytes::Bytes;
use jiff::SignedDuration;

use super::book::{Book, onlooker};
use super::roles;
use super::story::{BEGIN, Start};
use crate::scene::Files;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    /// An index segment is lost.
    Index,
    /// A pack is damaged, of which everything is in another one too.
    Packs,
    /// A pack is lost, with data that is nowhere else.
    Snapshots,
}

impl Repair {
    pub(super) const ALL: [Self; 3] = [Self::Index, Self::Packs, Self::Snapshots];

    pub(super) fn act(self, repository: &Repository) -> Result<()> {
        let progress = Progress::new();
        if self == Self::Index {
            IndexPlan::make(repository)?.run(repository, &progress)?;
            return Ok(());
        }
        PacksPlan::make(repository, Depth::All, 1, &progress)?.run(repository, &progress)?;
        if self == Self::Snapshots {
            SnapshotsPlan::make(repository, &progress)?.run(repository, &progress)?;
        }
        Ok(())
    }

    /// What it has to do with.
    pub(super) fn start(self) -> &'static Start {
        static STARTS: OnceLock<[Start; 3]> = OnceLock::new();
        let starts = STARTS.get_or_init(|| {
            let (objects, book) = with_twins();
            Self::ALL.map(|repair| repair.damage(objects.clone(), Book::after(&book)))
        });
        &starts[self as usize]
    }

    fn damage(self, mut objects: Objects, book: Book) -> Start {
        let world = World::new(0, objects.clone(), BEGIN);
        let repository = onlooker(&world).unwrap();
        let copies = copies(&repository);
        let pack = |is_wanted: &dyn Fn(&[PackId]) -> bool| {
            let packs = repository.index().unwrap().packs().unwrap();
            let data = packs.iter().filter(|pack| pack.kind == PackKind::Data).map(|pack| pack.id);
            let all_are =
                |pack: &PackId| copies.values().filter(|copies| copies.contains(pack)).all(|it| is_wanted(it));
            data.into_iter().find(all_are).expect("a pack to damage")
        };
        match self {
            Self::Index => {
                let segment = *repository.state().segments().keys().next().unwrap();
                objects.remove(&names::segment(&segment)).unwrap();
            }
            Self::Packs => {
                let pack = objects.get_mut(&names::pack(&pack(&|copies| copies.len() > 1))).unwrap();
                let mut bytes = pack.body.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                pack.body = Bytes::from(bytes);
            }
            Self::Snapshots => {
                let pack = pack(&|copies| copies.len() == 1);
                objects.remove(&names::pack(&pack)).unwrap();
                let is_lost = |chunk: &ChunkId| copies[chunk] == [pack];
                let mut touched = 0;
                for snapshot in repository.snapshots() {
                    let mut left: Files = book.attempted(snapshot.id);
                    for item in roles::items_of(&repository, &snapshot).unwrap() {
                        if chunks(&item).iter().any(is_lost) {
                            touched += u64::from(left.remove(&backstay_format::tree::display_key(&item.key)).is_some());
                        }
                    }
                    book.left(snapshot.id, left);
                }
                assert!(touched > 0, "nothing needs the lost pack");
            }
        }
        Start { objects, book, keys: repository.into() }
    }
}

/// A repository with a history, in which a file is stored twice.
fn with_twins() -> (Objects, Book) {
    let start = &Start::all()[2];
    let book = Book::after(&start.book);
    // No story has this seed.
    let world = World::new(u64::MAX - 1000, start.objects.clone(), BEGIN);
    let work = |process: &Process| {
        roles::back_up_twice(&roles::open(process, &book).unwrap(), &book).unwrap();
    };
    world.run(vec![Life {
        name: "twins".to_owned(),
        starts_after: Duration::ZERO,
        clock_offset: SignedDuration::ZERO,
        fate: Fate::Quiet,
        work: Box::new(work),
    }]);
    assert_eq!(world.wrongs(), [""; 0]);
    (world.objects(), book)
}

fn copies(repository: &Repository) -> BTreeMap<ChunkId, Vec<PackId>> {
    let mut copies: BTreeMap<ChunkId, Vec<PackId>> = BTreeMap::new();
    let mut note = |id, location: backstay_repo::index::Location| {
        copies.entry(id).or_default().push(location.pack);
        Ok(())
    };
    repository.index().unwrap().for_each_chunk(&mut note).unwrap();
    copies
}

fn chunks(item: &Item) -> Vec<ChunkId> {
    match &item.kind {
        ItemKind::File { content: Content::Extents(extents), .. } => extents.iter().filter_map(Extent::chunk).collect(),
        _ => Vec::new(),
    }
}

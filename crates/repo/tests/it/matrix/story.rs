//! One seed's story: what lies in the repository before it, who takes part, and how it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backstay_repo::{OpenOptions, Repository};
use backstay_testkit::data::Dice;
use backstay_testkit::simulation::{Fate, Life, Objects, Process, Rates, Step, World};
use jiff::SignedDuration;

use super::book::{Book, watch};
use super::roles::{self, Way};
use crate::scene::{options, secret};

/// The world's clock when a story begins: in March 2026.
pub(super) const BEGIN: Duration = Duration::from_secs(1_772_600_000);

/// A repository to begin with.
pub(super) struct Start {
    pub(super) objects: Objects,
    pub(super) book: Book,
    pub(super) keys: Arc<Repository>,
}

impl Start {
    /// Nothing yet; a few backups; or many, of which some were forgotten, so that there is garbage and much to merge.
    pub(super) fn all() -> &'static [Self; 3] {
        static STARTS: OnceLock<[Start; 3]> = OnceLock::new();
        STARTS.get_or_init(|| [Self::make(0, 0), Self::make(3, 0), Self::make(11, 2)])
    }

    fn make(backups: u64, forgets: u64) -> Self {
        // No story has this seed: what two of them draw must differ.
        let world = World::new(u64::MAX - backups, Objects::new(), BEGIN.saturating_sub(Duration::from_hours(24 * 40)));
        let (book, keys) = (Book::default(), OnceLock::new());
        let work = |process: &Process| {
            let init = OpenOptions { clock: process.clock(), ..options() };
            let _ = keys.set(Repository::init(process.store(), &secret(), "test", init).unwrap());
            let mut dice = Dice::new(backups);
            for number in 0..backups {
                let repository = roles::open(process, &book).unwrap();
                let (source, files) = (["one", "two"][number as usize % 2], roles::some_files(&mut dice));
                let way = Way {
                    takes_over: number % 3 == 1,
                    saves: number % 4 == 2,
                    has_ledger: number % 5 == 1,
                    reads_for: Duration::ZERO,
                };
                roles::back_up_once(process, &repository, &book, way, source, &files).unwrap();
                process.sleep(Duration::from_hours(20));
            }
            for _ in 0..forgets {
                let repository = roles::open(process, &book).unwrap();
                let oldest = repository.snapshots().first().unwrap().id;
                repository.forget(&[oldest], true, false).unwrap();
                book.forgotten([oldest]);
            }
        };
        world.run(vec![Life {
            name: "before".to_owned(),
            starts_after: Duration::ZERO,
            clock_offset: SignedDuration::ZERO,
            fate: Fate::Quiet,
            work: Box::new(work),
        }]);
        assert_eq!(world.wrongs(), [""; 0]);
        let keys = Arc::new(keys.into_inner().expect("the repository was made"));
        Self { objects: world.objects(), book, keys }
    }

    pub(super) fn world(&self, seed: u64) -> World {
        let world = World::new(seed, self.objects.clone(), BEGIN);
        world.watch(Box::new(watch(self.keys.clone())));
        world
    }
}

/// How a story ended.
pub(super) struct Ending {
    /// Nothing, if all is well.
    pub(super) wrongs: Vec<String>,
    pub(super) trace: Vec<Step>,
    pub(super) tally: BTreeMap<&'static str, u64>,
}

impl Ending {
    /// The judging itself failed; it has said why.
    pub(super) fn panicked() -> Self {
        Self { wrongs: vec!["panicked".to_owned()], trace: Vec::new(), tally: BTreeMap::new() }
    }
}

type Role = fn(&Process, &Book, Dice);

pub(super) struct Story {
    seed: u64,
    dice: Dice,
}

impl Story {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, dice: Dice::new(seed ^ 0x5eed_5eed) }
    }

    pub(super) fn tell(mut self) -> Ending {
        let dice = &mut self.dice;
        let start = dice.choose(Start::all());
        let world = start.world(self.seed);
        let book = Book::after(&start.book);
        let book = if dice.chance(300) { book.with_caches() } else { book };
        let rates = *dice.choose(&[
            Rates::default(),
            Rates { pauses: 20, ..Rates::default() },
            Rates { deaths: 4, faults: 10, pauses: 10, outages: 1, refusals: 1 },
            Rates { deaths: 10, faults: 60, pauses: 4, outages: 2, refusals: 2 },
            Rates { deaths: 20, pauses: 8, ..Rates::default() },
        ]);
        let mut lives = Vec::new();
        let book = &book;
        // Mostly everybody; the fewer there are, the closer they meet.
        let (writers, collectors) = (1 + dice.below(2), dice.below(3));
        for number in 0..writers {
            let (own, source) = (dice.fork(), *dice.choose(&["one", "two", "three"]));
            let work = move |process: &Process| roles::back_up(process, book, own, source);
            lives.push(life(format!("writer {number}"), dice, rates, Box::new(work)));
        }
        for number in 0..collectors {
            let own = dice.fork();
            let work = move |process: &Process| roles::collect(process, book, own);
            lives.push(life(format!("collector {number}"), dice, rates, Box::new(work)));
        }
        let others: [(&str, u64, Role); 3] =
            [("forgetter", 700, roles::forget), ("undoer", 250, roles::undo), ("reader", 400, roles::restore)];
        for (name, of_1024, role) in others {
            if dice.chance(of_1024) {
                let own = dice.fork();
                lives.push(life(name.to_owned(), dice, rates, Box::new(move |process| role(process, book, own))));
            }
        }
        world.run(lives);
        let wrongs = book.verify(&world);
        Ending { wrongs, trace: world.trace(), tally: world.tally() }
    }
}

/// Begins now or within days, with a clock that is right or a day off.
fn life<'a>(name: String, dice: &mut Dice, rates: Rates, work: Box<dyn FnOnce(&Process) + Send + 'a>) -> Life<'a> {
    let (now, hour, day) = (Duration::ZERO, Duration::from_hours(1), SignedDuration::from_hours(24));
    Life {
        name,
        starts_after: *dice.choose(&[now, now, Duration::from_mins(1), 3 * hour, 26 * hour, 50 * hour]),
        clock_offset: *dice.choose(&[SignedDuration::ZERO, SignedDuration::from_secs(-61), day, -day]),
        fate: Fate::Random(rates),
        work,
    }
}

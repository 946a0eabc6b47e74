//! One thing happens to one request, at every request of every role in turn; and everything that another role does happens between
//! two requests of one.

use std::collections::BTreeSet;
use std::time::Duration;

use backstay_repo::gc::CollectOptions;
use backstay_repo::{ErrorKind, Result};
use backstay_testkit::data::Dice;
use backstay_testkit::faulty::Verb;
use backstay_testkit::simulation::{Event, Fate, Life, Process, World};
use jiff::SignedDuration;

use super::book::Book;
use super::repairs::Repair;
use super::roles::{self, Way};
use super::story::Start;

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Backup,
    Forget,
    Undo,
    /// Without a grace: condemns, retires, rewrites, merges and deletes in one run.
    Collection,
    /// With a grace that is over for some of it.
    PatientCollection,
    Repair(Repair),
}

/// Those that can always be at work.
const ROLES: [Role; 5] = [Role::Backup, Role::Forget, Role::Undo, Role::Collection, Role::PatientCollection];

impl Role {
    fn act(self, process: &Process, book: &Book) -> Result<()> {
        let repository = roles::open(process, book)?;
        let collect = |grace_seconds| {
            let options = CollectOptions { grace_seconds, unused_max: 0.0, ..CollectOptions::default() };
            roles::collect_once(process, &repository, &options)
        };
        match self {
            Self::Backup => {
                let way = Way { takes_over: true, saves: true, has_ledger: true, reads_for: Duration::ZERO };
                let files = roles::some_files(&mut Dice::new(77));
                roles::back_up_once(process, &repository, book, way, "one", &files)
            }
            Self::Forget => {
                let oldest: Vec<_> = repository.snapshots().iter().take(2).map(|snapshot| snapshot.id).collect();
                let gone = repository.forget(&oldest, true, false)?;
                book.forgotten(gone.iter().map(|record| record.id));
                Ok(())
            }
            Self::Undo => {
                let forgotten: Vec<_> = repository.forgotten().iter().map(|snapshot| snapshot.id).collect();
                let back = repository.forget_undo(&forgotten)?;
                book.undone(back.iter().map(|record| record.id));
                Ok(())
            }
            Self::Collection => collect(0),
            Self::PatientCollection => collect(12 * 3600),
            Self::Repair(repair) => repair.act(&repository),
        }
    }

    fn start(self) -> &'static Start {
        match self {
            Self::Repair(repair) => repair.start(),
            _ => &Start::all()[2],
        }
    }

    /// Lives once; what it says of others' deeds or of the store is borne, unless nothing happens to it.
    fn life<'a>(self, name: &str, starts_after: Duration, fate: Fate, book: &'a Book) -> Life<'a> {
        let is_quiet = matches!(fate, Fate::Quiet);
        let work = move |process: &Process| {
            if let Err(error) = self.act(process, book) {
                let is_late = [ErrorKind::Conflict, ErrorKind::NotFound].contains(&error.kind());
                let is_borne = process.is_dead() || !is_quiet && (roles::is_of_the_store(&error) || is_late);
                let is_undo_too_late = self == Self::Undo && is_late;
                if !is_borne && !is_undo_too_late {
                    book.wrong(format!("{self:?}: {}", crate::scene::chain(&error)));
                }
            }
        };
        Life { name: name.to_owned(), starts_after, clock_offset: SignedDuration::ZERO, fate, work: Box::new(work) }
    }
}

/// The requests of a role, when nothing happens.
fn requests(role: Role) -> Vec<Verb> {
    let (world, book) = (role.start().world(3), Book::after(&role.start().book));
    world.run(vec![role.life("alone", Duration::ZERO, Fate::Quiet, &book)]);
    assert_eq!(book.verify(&world), [""; 0], "{role:?}");
    if role == Role::Collection {
        let tally = world.tally();
        for what in ["packs retired", "packs repacked", "packs deleted", "segments merged away"] {
            assert!(tally.get(what).is_some_and(|count| *count > 0), "{what}: {tally:?}");
        }
    }
    world.trace().iter().filter(|step| step.process == "alone").map(|step| step.verb).collect()
}

/// Lives, then lives again in peace, and is judged.
fn assert_kept(world: &World, book: &Book, lives: Vec<Life<'_>>, again: Role, what: &str) {
    world.run(lives);
    world.deliver_all();
    world.run(vec![again.life("again", Duration::ZERO, Fate::Quiet, book)]);
    let wrongs = book.verify(world);
    assert!(
        wrongs.is_empty(),
        "{what}: {}\n{}",
        wrongs.join("\n"),
        world.trace().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    );
}

fn every_event_at_every_request_of(role: Role) {
    let verbs = requests(role);
    assert!(verbs.len() > 10, "{role:?}: {verbs:?}");
    let reads = [Event::DieBefore, Event::FailBefore, Event::Unanswered, Event::Outage(40), Event::Denied];
    let writes = [
        Event::DieAfter,
        Event::DieInFlight(DAY),
        Event::FailAfter,
        Event::UnansweredAfter,
        Event::Late(DAY),
        Event::Again(DAY),
        Event::Twice,
        Event::Full,
    ];
    let mut happened = BTreeSet::new();
    for (n, verb) in verbs.iter().enumerate() {
        let changes = matches!(verb, Verb::Put | Verb::Create | Verb::Delete);
        for event in reads.iter().chain(writes.iter().filter(|_| changes)) {
            let (world, book) = (role.start().world(3), Book::after(&role.start().book));
            let life = role.life("alone", Duration::ZERO, Fate::At(n as u64, *event), &book);
            assert_kept(&world, &book, vec![life], role, &format!("{role:?}, request {n} ({verb:?}), {event:?}"));
            if world.trace().iter().any(|step| step.event == Some(*event)) {
                happened.insert((n, format!("{event:?}")));
            }
        }
    }
    assert!(happened.len() >= verbs.len() * reads.len(), "{role:?}: {} of {}", happened.len(), verbs.len());
}

#[test]
fn whatever_happens_to_any_request_of_a_backup_nothing_is_lost() {
    every_event_at_every_request_of(Role::Backup);
}

#[test]
fn whatever_happens_to_any_request_of_a_forget_or_an_undo_nothing_is_lost() {
    every_event_at_every_request_of(Role::Forget);
    every_event_at_every_request_of(Role::Undo);
}

#[test]
fn whatever_happens_to_any_request_of_a_collection_nothing_is_lost() {
    every_event_at_every_request_of(Role::Collection);
}

#[test]
fn whatever_happens_to_any_request_of_a_collection_with_a_grace_nothing_is_lost() {
    every_event_at_every_request_of(Role::PatientCollection);
}

#[test]
fn whatever_happens_to_any_request_of_a_repair_all_that_could_be_saved_is() {
    for repair in Repair::ALL {
        every_event_at_every_request_of(Role::Repair(repair));
    }
}

#[test]
fn whoever_sleeps_for_days_between_two_requests_wakes_up_to_whatever_others_did() {
    for sleeper in ROLES {
        for n in 0..requests(sleeper).len() {
            for other in ROLES {
                let (world, book) = (sleeper.start().world(3), Book::after(&sleeper.start().book));
                let asleep = Fate::At(n as u64, Event::PauseBefore(2 * DAY));
                let lives = vec![
                    sleeper.life("sleeper", Duration::ZERO, asleep, &book),
                    other.life("other", DAY / 2, Fate::Quiet, &book),
                    Role::Collection.life("collector", DAY, Fate::Quiet, &book),
                ];
                let what = format!("{sleeper:?} sleeps before request {n}, {other:?} and a collection go on");
                assert_kept(&world, &book, lives, Role::Backup, &what);
            }
        }
    }
}

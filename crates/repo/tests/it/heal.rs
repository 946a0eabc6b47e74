//! Healing: every kind of object, damaged in every way, at either place, by a process that may die at any write.

use std::collections::BTreeSet;

use backstay_format::audit::{Damaged, Lost};
use backstay_format::config::Secret;
use backstay_format::ids::PackId;
use backstay_repo::copy::CopyError;
use backstay_repo::heal::{HealOptions, HealReport, diagnose};
use backstay_repo::protocol::entry_name;
use backstay_repo::repair::IndexPlan;
use backstay_repo::{Progress, RepoError, Repository, Result, names};
use backstay_testkit::faulty::{Fault, FaultyStore, Verb};

use crate::copy::{copy, open_copy, other_secret};
use crate::scene::{Bucket, assert_sound, back_up, chain, check_full, files, options, read_all, secret};

/// A repository and its copy.
struct Twins {
    source: Bucket,
    copy: Bucket,
}

impl Twins {
    fn new() -> Self {
        let source = Bucket::new();
        for (name, seed, length) in [("one", 1, 1_300_000), ("two", 2, 50_000), ("one", 3, 40_000)] {
            back_up(&source.open(), name, &files(&[("file", seed, length)])).unwrap();
        }
        let to = Bucket::empty();
        copy(&source.process(), &to.process(), 0).unwrap();
        Self { source, copy: to }
    }

    fn fork(&self) -> Self {
        Self { source: self.source.fork(), copy: self.copy.fork() }
    }

    /// Where something is damaged, and where it is whole.
    fn sides(&self, is_source_damaged: bool) -> (&Bucket, &Bucket) {
        if is_source_damaged { (&self.source, &self.copy) } else { (&self.copy, &self.source) }
    }
}

fn own_secret(is_source: bool) -> Secret {
    if is_source { secret() } else { other_secret() }
}

fn heal_with(here: &FaultyStore, from: &Bucket, secret: &Secret, read_data: bool) -> Result<(Vec<String>, HealReport)> {
    let (here, from) = (here.open(), from.process().open());
    let options = HealOptions { read_data, memory_bytes: 64 << 20 };
    let diagnosis = diagnose(&here, &from, secret, &options, &Progress::new())?;
    let found = diagnosis.ailments.iter().map(|ailment| ailment.object.clone()).collect();
    Ok((found, diagnosis.heal(&Progress::new())?))
}

/// Everything that is stored once and the same at both places.
fn common_objects(twins: &Twins) -> Vec<String> {
    let mut names = twins.source.process().names();
    names.retain(|name| !name.starts_with("keys/") && !name.starts_with("writers/"));
    assert!(names.len() >= 13, "{names:?}");
    names
}

#[test]
fn whatever_is_damaged_in_whatever_way_at_either_place_is_mended_from_the_other() {
    let start = Twins::new();
    let last_entry = entry_name(start.source.open().base());
    for is_source_damaged in [true, false] {
        for name in common_objects(&start) {
            for damage in ["lost", "cut", "flipped", "emptied"] {
                let case = format!("{name} {damage}, at the source: {is_source_damaged}");
                let twins = start.fork();
                let (here, from) = twins.sides(is_source_damaged);
                let process = here.process();
                let right = process.read(&name).unwrap();
                match damage {
                    "lost" => process.lose(&name),
                    "cut" => process.truncate(&name, right.len() / 2),
                    "flipped" => process.flip_bit(&name, right.len() * 4),
                    _ => process.truncate(&name, 0),
                }
                let damaged = process.read(&name);
                let (found, report) = heal_with(&process, from, &own_secret(is_source_damaged), true)
                    .unwrap_or_else(|error| panic!("{case}: {}", chain(&error)));
                if damage == "lost" && name == last_entry && !is_source_damaged {
                    // It might as well not be copied yet.
                    assert!(found.is_empty(), "{case}: {found:?}");
                    copy(&twins.source.process(), &process, 0).unwrap();
                } else {
                    assert_eq!((&found[..], &report.healed[..]), (&[name.clone()][..], &[name.clone()][..]), "{case}");
                    assert!(report.failed.is_empty(), "{case}: {:?}", report.failed);
                    let kept: Vec<_> = report.quarantined.iter().map(|name| process.read(name)).collect();
                    assert_eq!(kept, damaged.map(Some).into_iter().collect::<Vec<_>>(), "{case}");
                }
                assert!(process.read(&name).as_ref() == Some(&right), "{case}");
                let again = heal_with(&process, from, &own_secret(is_source_damaged), true).unwrap();
                assert_eq!(again.0, Vec::<String>::new(), "{case}");
            }
        }
    }
}

#[test]
fn what_a_disk_cannot_read_any_more_is_mended_from_the_other_place() {
    let start = Twins::new();
    for name in common_objects(&start) {
        let twins = start.fork();
        let process = twins.source.process();
        // Rules go by the beginning of a name, the first one that fits.
        if name == names::CONFIG {
            process.inject_always(Verb::Get, names::CONFIG_COPY, Fault::BadSector(u64::MAX));
        }
        process.inject_always(Verb::Get, &name, Fault::BadSector(50));
        let (found, report) = heal_with(&process, &twins.copy, &secret(), true)
            .unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        assert_eq!((&found[..], &report.healed[..]), (&[name.clone()][..], &[name.clone()][..]));
        assert_eq!((report.failed.len(), report.quarantined.len()), (0, 1), "{name}");
        assert_eq!(assert_sound(&twins.source), 3);
    }
}

#[test]
fn a_place_that_lost_all_but_its_packs_is_mended_whole() {
    for is_source_damaged in [true, false] {
        let twins = Twins::new();
        let (here, from) = twins.sides(is_source_damaged);
        let process = here.process();
        let names = process.names();
        let lost =
            names.iter().filter(|name| ["config", "index", "keys", "log"].iter().any(|start| name.starts_with(start)));
        lost.for_each(|name| process.lose(name));
        // At a copy nothing tells how much of the log was there, but one entry does.
        let last = entry_name(
            twins.sides(!is_source_damaged).0.process().names().iter().filter(|name| name.starts_with("log/")).count()
                as u64,
        );
        process.write(&last, from.process().read(&last).unwrap());
        // No key slot is left here: the other place's secret opens both.
        let secret = own_secret(!is_source_damaged);
        let (_, report) = heal_with(&process, from, &secret, false).unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let repository = Repository::open(process.open(), &secret, options()).unwrap();
        assert!(check_full(&repository).is_clean());
        assert_eq!(read_all(&repository), 3);
        assert_eq!(repository.is_copy().unwrap(), !is_source_damaged);
    }
}

#[test]
fn a_healing_that_dies_at_any_write_is_finished_by_the_next() {
    let start = Twins::new();
    for name in common_objects(&start) {
        start.source.process().flip_bit(&name, 900);
    }
    let whole = start.fork();
    let process = whole.source.process();
    let (found, report) = heal_with(&process, &whole.copy, &secret(), true).unwrap();
    assert_eq!((found.len(), report.quarantined.len()), (report.healed.len(), report.healed.len()));
    assert_sound(&whole.source);
    let writes = process.records().iter().filter(|one| matches!(one.verb, Verb::Put | Verb::Create)).count();
    for n in 0..writes {
        for last_is_done in [false, true] {
            let twins = start.fork();
            let process = twins.source.process();
            process.die_at_write(n, last_is_done);
            assert!(heal_with(&process, &twins.copy, &secret(), true).is_err(), "write {n}");
            let process = twins.source.process();
            heal_with(&process, &twins.copy, &secret(), true).unwrap();
            assert_eq!(assert_sound(&twins.source), 3, "write {n}");
            // Nothing was replaced before its damaged bytes were kept.
            let quarantined = process.names().iter().filter(|name| name.starts_with("quarantine/")).count();
            assert_eq!(quarantined, found.len(), "write {n}");
        }
    }
}

#[test]
fn a_copy_that_is_damaged_too_gives_what_is_intact_there() {
    let twins = Twins::new();
    let process = twins.source.process();
    let packs: Vec<_> = process.names().into_iter().filter(|name| names::pack_of(name).is_some()).collect();
    let both = &packs[0];
    for name in &packs {
        process.flip_bit(name, 900);
    }
    twins.copy.process().flip_bit(both, 1_000);
    twins.copy.process().lose(&entry_name(1));
    twins.copy.process().lose("config");
    let (found, report) = heal_with(&process, &twins.copy, &secret(), true).unwrap();
    assert_eq!(found.len(), packs.len());
    assert_eq!(report.healed, packs[1..]);
    assert_eq!(report.failed.iter().map(|one| &one.object).collect::<Vec<_>>(), [both]);
    let findings = check_full(&twins.source.open()).findings;
    assert!(findings.iter().any(|one| one.object == *both), "{findings:?}");
    assert!(findings.iter().all(|one| one.object == *both || one.object.starts_with("record ")), "{findings:?}");
    // What neither has can come back at last, and the copy gets back what it lost.
    process.flip_bit(both, 900);
    let (_, report) = heal_with(&twins.copy.process(), &twins.source, &other_secret(), true).unwrap();
    assert_eq!(report.healed.len(), 3, "{report:?}");
    assert!(check_full(&open_copy(&twins.copy).unwrap()).is_clean());
    assert_sound(&twins.source);
}

#[test]
fn a_log_entry_that_neither_has_is_named_and_what_is_known_without_it_is_mended() {
    let twins = Twins::new();
    let process = twins.source.process();
    let first_packs: Vec<PackId> = {
        let segment = twins.source.open().state().segments().values().min_by_key(|one| one.base).unwrap().id;
        let stored = process.read(&names::segment(&segment)).unwrap();
        let opened = backstay_format::segment::Segment::open(twins.source.open().keys(), &stored).unwrap();
        opened.packs.iter().map(|pack| pack.id).collect()
    };
    process.lose(&names::pack(&first_packs[0]));
    for place in [&twins.source, &twins.copy] {
        place.process().flip_bit(&entry_name(2), 1_000);
    }
    let (_, report) = heal_with(&process, &twins.copy, &secret(), true).unwrap();
    assert_eq!(report.healed, [names::pack(&first_packs[0])]);
    assert_eq!(report.failed.iter().map(|one| &one.object).collect::<Vec<_>>(), [&entry_name(2)]);
}

#[test]
fn what_was_let_go_is_not_brought_back() {
    let twins = Twins::new();
    let repository = twins.source.open();
    let retired: Vec<PackId> = twins.source.process().names().iter().filter_map(|name| names::pack_of(name)).collect();
    let ids: Vec<_> = repository.snapshots().iter().map(|one| one.id).collect();
    repository.forget(&ids, true, false).unwrap();
    let change = backstay_format::log::Change { packs_retired: retired.clone(), ..Default::default() };
    let append = backstay_repo::Append::new(backstay_format::ids::WriterId::new([9; 16]), "gc", repository.base());
    repository.append(&append, &|_| change.clone()).unwrap();
    for pack in &retired {
        twins.source.process().lose(&names::pack(pack));
    }
    let (found, report) = heal_with(&twins.source.process(), &twins.copy, &secret(), true).unwrap();
    assert!(found.is_empty() && report.healed.is_empty(), "{found:?}");
}

#[test]
fn the_end_of_a_log_that_was_lost_comes_back_from_the_copy_and_another_history_does_not() {
    let twins = Twins::new();
    let end = twins.source.open().base();
    let process = twins.source.process();
    process.lose(&entry_name(end));
    process.lose(&entry_name(end - 1));
    let forked = twins.fork();
    let (_, report) = heal_with(&process, &twins.copy, &secret(), false).unwrap();
    assert_eq!(report.healed, [entry_name(end - 1), entry_name(end)]);
    assert_eq!(assert_sound(&twins.source), 3);
    // Somebody has backed up since: what the copy has is another history now, and nothing is wrong here.
    back_up(&forked.source.open(), "one", &files(&[("other", 9, 10)])).unwrap();
    let (found, _) = heal_with(&forked.source.process(), &forked.copy, &secret(), false).unwrap();
    assert!(found.is_empty(), "{found:?}");
    assert_sound(&forked.source);
}

#[test]
fn the_lost_end_of_a_log_is_never_put_behind_an_entry_of_somebody_else() {
    let start = Twins::new();
    let end = start.source.open().base();
    let lost = [entry_name(end - 1), entry_name(end)];
    for name in &lost {
        start.source.process().lose(name);
    }
    // A backup commits before the first or the second of the lost entries is back.
    for back in 0..2 {
        let twins = start.fork();
        let process = twins.source.process();
        let hold = process.hold(Verb::Create, &lost[back]);
        let report = std::thread::scope(|scope| {
            let healing = scope.spawn(|| heal_with(&process, &twins.copy, &secret(), false).unwrap().1);
            hold.wait_until_reached();
            back_up(&twins.source.open(), "other", &files(&[("other", 9, 10)])).unwrap();
            hold.release();
            healing.join().unwrap()
        });
        assert_eq!(report.healed, lost[..back]);
        assert_eq!(
            report.failed.iter().map(|one| &one.object).collect::<Vec<_>>(),
            lost[back..].iter().collect::<Vec<_>>()
        );
        assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
        assert_eq!(
            twins.source.open().base(),
            end - 1 + back as u64,
            "it opens, with the backup's entry as its last one"
        );
        assert_eq!(assert_sound(&twins.source), 2 + back);
    }
}

#[test]
fn a_pack_of_which_the_index_has_another_size_is_healed_by_its_name_once() {
    let twins = Twins::new();
    let process = twins.source.process();
    let pack =
        process.names().into_iter().find(|name| process.read(name).is_some_and(|it| it.len() > 1_000_000)).unwrap();
    let right = process.read(&pack).unwrap();
    process.truncate(&pack, right.len() / 2);
    process.names().iter().filter(|name| name.starts_with(names::INDEX)).for_each(|name| process.lose(name));
    // Makes an index of what is left of the pack.
    let repository = twins.source.open();
    IndexPlan::make(&repository).unwrap().run(&repository, &Progress::new()).unwrap();
    let (found, report) = heal_with(&process, &twins.copy, &secret(), false).unwrap();
    assert_eq!((found, report.healed, report.failed), (vec![pack.clone()], vec![pack.clone()], vec![]));
    assert!(process.read(&pack).unwrap() == right);
    assert!(heal_with(&process, &twins.copy, &secret(), true).unwrap().0.is_empty());
}

#[test]
fn another_repository_or_secret_mends_nothing() {
    let twins = Twins::new();
    let process = twins.source.process();
    process.lose("config-copy");
    let stranger = Bucket::new();
    let error = heal_with(&process, &stranger, &secret(), false).unwrap_err();
    assert!(matches!(error, RepoError::Copy(CopyError::OtherRepository { .. })), "{error}");
    let wrong = Secret::KeyFile(vec![6; 32].into());
    let error = heal_with(&process, &twins.copy, &wrong, false).unwrap_err();
    assert!(matches!(error, RepoError::WrongPassword { .. }), "{error}");
    let error = heal_with(&process, &Bucket::empty(), &secret(), false).unwrap_err();
    assert!(matches!(error, RepoError::NoRepository { .. }), "{error}");
    assert!(process.read("config-copy").is_none());
}

#[test]
fn without_reading_data_packs_are_read_that_audits_named_and_what_is_whole_again_is_taken_from_their_list() {
    let twins = Twins::new();
    let process = twins.source.process();
    let packs: Vec<PackId> = process.names().iter().filter_map(|name| names::pack_of(name)).collect();
    for pack in &packs[..3] {
        process.flip_bit(&names::pack(pack), 900);
    }
    assert!(heal_with(&process, &twins.copy, &secret(), false).unwrap().0.is_empty());
    // Two that are damaged, of which the copy has one; and one that is whole.
    twins.copy.process().lose(&names::pack(&packs[2]));
    let mut damaged = Damaged::default();
    damaged.packs.extend(packs[1..4].iter().map(|pack| (*pack, Lost::All)));
    damaged.snapshots.insert(twins.source.open().snapshots()[0].id);
    twins.source.open().save_damaged(&damaged).unwrap();
    let (found, report) = heal_with(&process, &twins.copy, &secret(), false).unwrap();
    assert_eq!(BTreeSet::from_iter(found), packs[1..3].iter().map(names::pack).collect());
    assert_eq!(report.healed, [names::pack(&packs[1])]);
    damaged.packs.retain(|pack, _| *pack == packs[2]);
    assert_eq!(twins.source.open().damaged().unwrap().as_ref(), Some(&damaged));
    process.flip_bit(&names::pack(&packs[2]), 900);
    heal_with(&process, &twins.copy, &secret(), false).unwrap();
    // No snapshot was walked: what it lost may have been let go before.
    damaged.packs.clear();
    assert_eq!(twins.source.open().damaged().unwrap(), Some(damaged));
}

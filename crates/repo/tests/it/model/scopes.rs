//! Scopes in which nothing is lost, whatever happens.
//!
//! `BACKSTAY_MODEL=deep` tries larger ones: millions of states and gigabytes of memory each, so one at a time. How many states
//! were tried is printed (`cargo test -p backstay-repo --test it model -- --nocapture`).

use std::collections::HashMap;

use stateright::{Checker, HasDiscoveries, Model, Path};

use super::properties::{DELETED, MENDED, MERGED, REPACKED, REVIVED, SAVED, TAKEN_OVER, UNDONE};
use super::steps::{Action, BARE, Scope};
use super::world::World;

#[test]
fn writers_and_a_collector_lose_nothing() {
    let scope = Scope { writers: 2, collectors: 1, forgets: 1, may_store: true, ..BARE };
    passes(scope, Scope { collector_runs: 2, ..scope }, &[DELETED, MENDED]);
}

#[test]
fn writers_that_take_over_trees_lose_nothing() {
    let scope = Scope { writers: 2, collectors: 1, forgets: 1, may_reuse: true, ..BARE };
    let deep = Scope { collector_runs: 2, forgets: 2, ..scope };
    passes(scope, deep, &[DELETED, MENDED, TAKEN_OVER]);
}

#[test]
fn writers_that_hear_no_answers_lose_nothing() {
    let scope = Scope { writers: 2, collectors: 1, forgets: 1, may_lose_answers: true, ..BARE };
    let deep = Scope { collector_runs: 2, may_store: true, ..scope };
    passes(scope, deep, &[DELETED, MENDED]);
}

#[test]
fn writers_that_save_incomplete_snapshots_lose_nothing() {
    let scope = Scope { writers: 2, collectors: 1, forgets: 1, may_save: true, ..BARE };
    let deep = Scope { forgets: 2, may_reuse: true, ..scope };
    passes(scope, deep, &[DELETED, MENDED, SAVED]);
    let scope = Scope { writers: 1, forgets: 2, may_reuse: true, ..scope };
    passes(scope, scope, &[DELETED, MENDED, SAVED, TAKEN_OVER]);
}

#[test]
fn undo_by_a_word_and_by_a_commit_loses_nothing() {
    let scope = Scope { collectors: 1, collector_runs: 2, forgets: 2, undos: 2, may_store: true, ..BARE };
    passes(scope, Scope { writers: 2, undos: 1, ..scope }, &[DELETED, MENDED, UNDONE, REVIVED]);
}

#[test]
fn collectors_that_choose_other_copies_lose_nothing() {
    let scope = Scope { collectors: 2, forgets: 1, may_store: true, has_private_chunks: false, ..BARE };
    passes(scope, Scope { writers: 2, forgets: 2, ..scope }, &[DELETED]);
}

#[test]
fn collectors_that_repack_lose_nothing() {
    let scope = Scope { collectors: 2, forgets: 2, may_repack: true, ..BARE };
    passes(scope, Scope { collector_runs: 2, ..scope }, &[DELETED, MENDED, REPACKED]);
    let deep = Scope { writers: 2, forgets: 1, ..scope };
    passes(Scope { writers: 1, ..deep }, deep, &[DELETED, MENDED, REPACKED]);
}

#[test]
fn two_writers_and_two_collectors_lose_nothing() {
    let scope = Scope { writers: 2, collectors: 2, max_entries: 4, ..BARE };
    let deep = Scope { forgets: 1, max_entries: 5, ..scope };
    passes(scope, deep, &[DELETED, MENDED]);
    passes(Scope { max_entries: 3, ..deep }, scope, &[DELETED, MENDED]);
}

#[test]
fn compactors_lose_nothing() {
    let scope = Scope { collectors: 1, compactors: 2, forgets: 1, ..BARE };
    let deep = Scope { forgets: 2, may_repack: true, ..scope };
    passes(scope, deep, &[DELETED, MENDED, MERGED]);
    let deep = Scope { collectors: 2, compactors: 1, may_repack: true, ..scope };
    passes(Scope { collectors: 1, ..deep }, deep, &[DELETED, MENDED, MERGED, REPACKED]);
}

#[test]
fn garbage_can_always_be_freed_and_writers_always_end() {
    let scope = Scope {
        collectors: 1,
        compactors: 1,
        forgets: 1,
        may_repack: true,
        may_lose_answers: true,
        judges_progress: true,
        ..BARE
    };
    let deep = Scope { collectors: 2, ..scope };
    passes(scope, deep, &[DELETED, MENDED, REPACKED, MERGED]);
    let scope = Scope { compactors: 0, may_repack: false, undos: 1, may_save: true, ..scope };
    passes(scope, Scope { writers: 2, ..scope }, &[DELETED, MENDED, SAVED, UNDONE]);
    let scope = Scope { writers: 2, undos: 0, may_save: false, ..scope };
    passes(scope, Scope { may_store: true, ..scope }, &[DELETED, MENDED]);
}

/// Tries everything in the scope: nothing may be lost, and what the scope is about must have happened.
fn passes(scope: Scope, deep: Scope, expected: &[&str]) {
    let is_deep = std::env::var_os("BACKSTAY_MODEL").is_some_and(|value| value == "deep");
    let discoveries = assert_nothing_is_lost(if is_deep { &deep } else { &scope });
    for name in expected {
        assert!(discoveries.contains_key(name), "never happened: {name}");
    }
}

/// Tries everything in the scope. Returns what happened in it.
#[expect(clippy::print_stderr, reason = "how much was tried is asked for in docs/design/0002")]
pub(super) fn assert_nothing_is_lost(scope: &Scope) -> HashMap<&'static str, Path<World, Action>> {
    let checker = scope.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let discoveries = checker.discoveries();
    for property in scope.properties() {
        if property.expectation.discovery_is_failure()
            && let Some(path) = discoveries.get(property.name)
        {
            panic!("not so: {}\n{:#?}", property.name, path.clone().into_actions());
        }
    }
    eprintln!("{} states", checker.unique_state_count());
    discoveries
}

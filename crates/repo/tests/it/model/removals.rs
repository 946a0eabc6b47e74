//! Why each rule is there: the rule is taken out, and the model finds the loss. With the rule, the same scope loses nothing.

use stateright::{Checker, HasDiscoveries, Model};

use super::properties::{ANSWERED_IS_KEPT, INDEX_IS_TRUE, READABLE};
use super::scopes::assert_nothing_is_lost;
use super::steps::{BARE, Rule, Scope};

fn loses(rule: Rule, scope: Scope, property: &'static str) {
    assert_nothing_is_lost(&scope);
    let scope = Scope { without: Some(rule), ..scope };
    let until = HasDiscoveries::AnyOf([property].into());
    let checker = scope.checker().finish_when(until).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "without {rule:?} this still holds: {property}");
}

const COLLECTED: Scope = Scope { collectors: 1, forgets: 1, ..BARE };

#[test]
fn without_create_if_absent_an_acknowledged_snapshot_is_overwritten() {
    loses(Rule::CreateIfAbsent, Scope { writers: 2, ..BARE }, ANSWERED_IS_KEPT);
}

#[test]
fn without_w1_for_packs_a_commit_names_a_pack_retired_as_unused() {
    loses(Rule::OwnPacks, COLLECTED, READABLE);
}

#[test]
fn without_w1_for_segments_a_merge_names_a_segment_removed_as_unused() {
    loses(Rule::OwnSegments, Scope { writers: 0, compactors: 1, ..COLLECTED }, INDEX_IS_TRUE);
}

#[test]
fn without_w2_a_commit_relies_on_a_retired_pack() {
    loses(Rule::ReliedPacks, COLLECTED, READABLE);
}

#[test]
fn without_w3_a_commit_takes_over_the_tree_of_a_forgotten_snapshot() {
    loses(Rule::Parents, Scope { may_reuse: true, ..COLLECTED }, READABLE);
}

#[test]
fn with_marks_older_than_a_commit_its_pack_is_retired() {
    loses(Rule::MarksUpToDate, COLLECTED, READABLE);
}

#[test]
fn with_marks_older_than_a_retirement_both_copies_go() {
    let scope = Scope { collectors: 2, may_store: true, has_private_chunks: false, ..COLLECTED };
    loses(Rule::RetirementsCountForMarks, scope, READABLE);
}

#[test]
fn a_delete_before_its_entry_leaves_others_relying_on_the_pack() {
    loses(Rule::DeleteOnlyAfterTheEntry, COLLECTED, INDEX_IS_TRUE);
}

#[test]
fn a_name_used_again_after_its_retirement_meets_a_late_delete() {
    loses(Rule::NewNames, COLLECTED, READABLE);
}

#[test]
fn an_unindexed_pack_deleted_past_the_log_may_have_been_committed() {
    loses(Rule::UnindexedPacksThroughTheLog, COLLECTED, READABLE);
}

#[test]
fn without_one_kept_copy_every_copy_is_dispensable() {
    let scope = Scope { may_store: true, has_private_chunks: false, ..COLLECTED };
    loses(Rule::KeepOneCopy, scope, READABLE);
}

#[test]
fn without_w1_for_a_repacked_pack_the_only_copy_dies() {
    let scope = Scope { collectors: 2, may_repack: true, ..COLLECTED };
    loses(Rule::OwnRepackedPack, scope, READABLE);
}

#[test]
fn without_the_mask_an_old_segment_offers_a_dead_pack() {
    loses(Rule::Mask, COLLECTED, READABLE);
}

#[test]
fn a_merge_of_segments_replaced_meanwhile_names_a_dead_pack_again() {
    let scope = Scope { writers: 0, compactors: 2, ..COLLECTED };
    loses(Rule::ReplacedStillValid, scope, INDEX_IS_TRUE);
}

#[test]
fn segments_deleted_before_the_merge_has_its_entry_leave_no_index() {
    let scope = Scope { writers: 0, compactors: 1, ..COLLECTED };
    loses(Rule::SegmentsDeletedOnlyAfterTheEntry, scope, READABLE);
}

#[test]
fn a_commit_before_its_segment_lists_what_cannot_be_read() {
    loses(Rule::SegmentBeforeCommit, BARE, READABLE);
}

#[test]
fn a_segment_before_its_packs_names_what_is_not_there() {
    loses(Rule::PacksBeforeSegment, BARE, INDEX_IS_TRUE);
}

#[test]
fn a_taken_slot_that_nobody_looks_at_is_reported_as_a_commit() {
    let scope = Scope { writers: 2, may_lose_answers: true, ..BARE };
    loses(Rule::LookAtTheSlot, scope, ANSWERED_IS_KEPT);
}

#[test]
fn an_undo_by_a_word_after_a_retirement_lists_what_is_gone() {
    let scope = Scope { writers: 0, undos: 1, ..COLLECTED };
    loses(Rule::UndoOnlyIfNothingWasRetired, scope, READABLE);
}

#[test]
fn an_undo_by_commit_without_w2_relies_on_a_retired_pack() {
    let scope = Scope { collector_runs: 2, undos: 1, ..COLLECTED };
    loses(Rule::UndoByCommitReliesOnPacks, scope, READABLE);
}

#[test]
fn a_base_raised_by_opening_again_hides_a_retirement() {
    loses(Rule::BaseRaisedOnlyByACheck, COLLECTED, READABLE);
}

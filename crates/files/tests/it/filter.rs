//! Filters: which entries of a real tree are left out, and how many each rule counts.

use std::fs;
use std::path::Path;

use backstay_files::filter::{Filter, FilterError, FilterOptions, Marker, Rule};

use crate::walk::{Collected, collect_with};

/// Makes files (and directories, by a trailing slash) and walks them. Gives the paths found below the root, and the counts.
fn check(paths: &[&str], options: &FilterOptions, expected: &[&str], counts: &[(&str, u64)]) {
    let folder = tempfile::tempdir().unwrap();
    for path in paths {
        make(folder.path(), path);
    }
    check_folder(folder.path(), options, expected, counts);
}

fn check_folder(folder: &Path, options: &FilterOptions, expected: &[&str], counts: &[(&str, u64)]) {
    let filter = Filter::new(options).unwrap();
    let Collected { below, counts: found, .. } = collect_with(&[folder], filter, None);
    assert_eq!(below, expected);
    let counts: Vec<_> = counts.iter().map(|(rule, count)| ((*rule).to_owned(), *count)).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), counts);
}

fn make(folder: &Path, path: &str) {
    let full = folder.join(path.trim_end_matches('/'));
    if path.ends_with('/') {
        fs::create_dir_all(full).unwrap();
    } else {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, path).unwrap();
    }
}

fn rules(rules: &[Rule]) -> FilterOptions {
    FilterOptions { rules: rules.to_vec(), ..FilterOptions::default() }
}

#[test]
fn a_pattern_without_a_slash_matches_a_name_at_any_depth() {
    check(
        &["a.o", "b.c", "d/a.o", "d/e/x.o", "d/e/x.c", "f.o/inside"],
        &rules(&[Rule::exclude("*.o")]),
        &["b.c", "d", "d/e", "d/e/x.c"],
        // The directory counts once, however much is in it.
        &[("exclude *.o", 4)],
    );
}

#[test]
fn a_pattern_with_a_slash_matches_below_the_root_only() {
    check(
        &["target/debug/x", "sub/target/debug/x"],
        &rules(&[Rule::exclude("target/debug")]),
        &["sub", "sub/target", "sub/target/debug", "sub/target/debug/x", "target"],
        &[("exclude target/debug", 1)],
    );
}

#[test]
fn an_absolute_pattern_matches_the_whole_path() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "a/x");
    make(folder.path(), "b/a/x");
    let pattern = format!("{}/a", folder.path().display());
    let count = format!("exclude {pattern}");
    check_folder(folder.path(), &rules(&[Rule::exclude(pattern)]), &["b", "b/a", "b/a/x"], &[(&count, 1)]);
}

#[test]
fn a_star_stays_within_a_name_and_two_stars_do_not() {
    check(&["a/b/c/x", "a/x"], &rules(&[Rule::exclude("a/*/x")]), &["a", "a/b", "a/b/c", "a/b/c/x", "a/x"], &[]);
    check(&["a/b/c/x", "a/x"], &rules(&[Rule::exclude("a/**/x")]), &["a", "a/b", "a/b/c"], &[("exclude a/**/x", 2)]);
}

#[test]
fn a_pattern_that_ends_in_a_slash_matches_directories_only() {
    check(&["cache/x", "d/cache"], &rules(&[Rule::exclude("cache/")]), &["d", "d/cache"], &[("exclude cache/", 1)]);
}

#[test]
fn the_last_rule_that_matches_decides() {
    let paths = ["a.log", "keep.log"];
    check(&paths, &rules(&[Rule::exclude("*.log"), Rule::include("keep.log")]), &["keep.log"], &[("exclude *.log", 1)]);
    check(&paths, &rules(&[Rule::include("keep.log"), Rule::exclude("*.log")]), &[], &[("exclude *.log", 2)]);
}

#[test]
fn nothing_comes_back_from_a_directory_that_is_left_out() {
    check(
        &["d/keep", "e/keep", "e/x"],
        &rules(&[Rule::exclude("d"), Rule::exclude("e/*"), Rule::include("keep")]),
        &["e", "e/keep"],
        &[("exclude d", 1), ("exclude e/*", 1)],
    );
}

#[test]
fn a_root_is_never_left_out() {
    check(
        &["tmp"],
        &rules(&[Rule::exclude(".tmp*"), Rule::exclude("/tmp"), Rule::exclude("/**")]),
        &[],
        &[("exclude /**", 1)],
    );
}

#[test]
fn files_above_the_size_are_left_out_and_directories_are_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("at"), [0; 10]).unwrap();
    fs::write(folder.path().join("over"), [0; 11]).unwrap();
    fs::create_dir(folder.path().join("directory")).unwrap();
    let options = FilterOptions { file_size_max_bytes: Some(10), ..FilterOptions::default() };
    check_folder(folder.path(), &options, &["at", "directory"], &[("larger than 10 bytes", 1)]);
}

#[test]
fn a_cache_directory_keeps_only_itself_and_its_tag() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "cache/deep/x");
    make(folder.path(), "cache/A");
    make(folder.path(), "cache/z");
    make(folder.path(), "plain/x");
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\nmore";
    fs::write(folder.path().join("cache/CACHEDIR.TAG"), signature).unwrap();
    // The name alone makes no cache.
    fs::write(folder.path().join("plain/CACHEDIR.TAG"), "Signature: else").unwrap();
    let options = FilterOptions { markers: vec![Marker::cache_directory()], ..FilterOptions::default() };
    let expected = ["cache", "cache/CACHEDIR.TAG", "plain", "plain/CACHEDIR.TAG", "plain/x"];
    check_folder(folder.path(), &options, &expected, &[("marked by CACHEDIR.TAG", 3)]);
}

#[test]
fn a_tag_that_is_a_link_elsewhere_marks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "d/x");
    fs::write(folder.path().join("tag"), "Signature: 8a477f597d28d172789f06886806bc55").unwrap();
    std::os::unix::fs::symlink("../tag", folder.path().join("d/CACHEDIR.TAG")).unwrap();
    let options = FilterOptions { markers: vec![Marker::cache_directory()], ..FilterOptions::default() };
    check_folder(folder.path(), &options, &["d", "d/CACHEDIR.TAG", "d/x", "tag"], &[]);
}

#[test]
fn a_named_marker_needs_no_contents() {
    check(
        &["d/.nobackup/", "d/x", "e/x"],
        &FilterOptions { markers: vec![Marker::named(".nobackup")], ..FilterOptions::default() },
        &["d", "d/.nobackup", "e", "e/x"],
        &[("marked by .nobackup", 1)],
    );
}

#[test]
fn lines_of_a_file_are_rules_with_comments_and_inclusions() {
    let rules = Rule::parse_lines(b"# objects\n*.o\r\n\n!keep.o  \n\\#x\n").unwrap();
    assert_eq!(rules, [Rule::exclude("*.o"), Rule::include("keep.o"), Rule::exclude("\\#x")]);
    check(
        &["#x", "a.o", "keep.o"],
        &FilterOptions { rules, ..FilterOptions::default() },
        &["keep.o"],
        &[("exclude *.o", 1), ("exclude \\#x", 1)],
    );
}

#[test]
fn bad_patterns_are_named() {
    let error = |pattern: &str| Filter::new(&rules(&[Rule::exclude(pattern)])).unwrap_err().to_string();
    assert_eq!(error("a[b"), "the pattern \"a[b\" is not a glob");
    assert_eq!(error("/"), "the pattern \"/\" matches nothing");
    assert_eq!(error(""), "the pattern \"\" matches nothing");
    assert!(matches!(Rule::parse_lines(b"ok\n\xff"), Err(FilterError::NotText { line: 2 })));
}

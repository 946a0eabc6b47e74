//! What every file keeps to.

use std::fs;
use std::path::Path;

use crate::{assert_none, output, project_root};

#[test]
fn every_source_file_opens_with_what_it_owns() {
    let sources = files(".rs");
    assert!(sources.len() > 20, "the sources are found");
    let wrong = sources.iter().filter(|(_, text)| !text.starts_with("//! "));
    assert_none(&wrong.map(|(name, _)| format!("{name} does not open with //!")).collect::<Vec<_>>());
}

#[test]
fn no_test_is_left_out_of_its_binary() {
    let mut wrong = Vec::new();
    for (name, text) in files("main.rs").iter().filter(|(name, _)| name.split('/').any(|folder| folder == "tests")) {
        let dir = project_root().join(name).parent().unwrap().to_owned();
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let is_module = path.extension().is_some_and(|it| it == "rs") || path.join("mod.rs").exists();
            let module = path.file_stem().unwrap().to_str().unwrap();
            if is_module && module != "main" && !text.lines().any(|line| line.ends_with(&format!("mod {module};"))) {
                wrong.push(format!("{name} does not name {module}, so its tests never run"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn no_test_is_ignored() {
    let attribute = concat!("#[", "ignore");
    let wrong = files(".rs").into_iter().filter(|(_, text)| text.contains(attribute));
    assert_none(&wrong.map(|(name, _)| format!("{name} ignores a test")).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_to_do_and_no_place_outside_the_project_is_named() {
    // Pieced together, so that this file passes its own check.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("/wo", "rk"), concat!("../sha", "red")];
    let mut wrong = Vec::new();
    for (name, text) in files("") {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| holds_word(line, word)) {
                wrong.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_design_document_is_reached_from_the_architecture_page() {
    let architecture = fs::read_to_string(project_root().join("docs/architecture.md")).unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, _) in files(".md") {
        if let Some(document) = name.strip_prefix("docs/")
            && document.starts_with("design/")
            && !architecture.contains(&format!("]({document})"))
        {
            wrong.push(format!("docs/architecture.md does not link {document}"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for (name, text) in files(".md") {
        let dir = Path::new(&name).parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !project_root().join(dir).join(path).exists() {
                wrong.push(format!("{name} links {link}"));
            }
        }
    }
    assert_none(&wrong);
}

/// The project's text files whose path ends so, with their contents.
fn files(ending: &str) -> Vec<(String, String)> {
    let names = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    let names = names.lines().filter(|name| name.ends_with(ending));
    names.filter_map(|name| Some((name.to_owned(), fs::read_to_string(project_root().join(name)).ok()?))).collect()
}

/// Whether the line holds the word, with no letter or digit on either side.
fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

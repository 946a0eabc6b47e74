//! The committed reference is what the program writes today.

use std::fs;
use std::path::Path;

use crate::world::World;

#[test]
fn the_generated_reference_is_current() {
    let world = World::new();
    let fresh = world.text("generated");
    world.backstay(&["generate", "docs", &fresh]).succeeds();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let (mut stale, mut seen) = (Vec::new(), 0);
    for folder in ["", "man", "completions"] {
        for entry in fs::read_dir(Path::new(&fresh).join(folder)).unwrap() {
            let page = entry.unwrap().path();
            if page.is_file() {
                let name = page.strip_prefix(&fresh).unwrap();
                seen += 1;
                if fs::read(&page).ok() != fs::read(committed.join(name)).ok() {
                    stale.push(name.to_owned());
                }
            }
        }
    }
    assert!(seen > 20, "the reference, a man page for each command, completions");
    assert!(stale.is_empty(), "run `cargo xtask docs` and commit what it writes: {stale:?}");
}

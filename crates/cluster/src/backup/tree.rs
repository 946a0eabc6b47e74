//! Writes a snapshot's tree: the objects with their directories, and `lists.json`.

use backstay_format::compress::Hint;
use backstay_format::crypto::RecordKind;
use backstay_format::ids::ChunkId;
use backstay_format::log::TreeRef;
use backstay_format::tree::{Item, TreeBuilder};
use backstay_repo::{ChunkWriter, Repository};

use super::entry::{Chunks, document_item};
use super::take::{Taken, put_pieces};
use crate::error::{ClusterError, Result};
use crate::object::{ROOT, tree_key_of_resource};
use crate::snapshot::{LISTS, Lists};

/// `all` in order of their resources' texts. Without a writer only the root's name is found out.
pub(super) fn write(
    repository: &Repository,
    mut writer: Option<ChunkWriter<'_>>,
    all: &[Taken],
    chunks: &Chunks,
    lists: &Lists,
) -> Result<(TreeRef, u64)> {
    let lists = serde_json::to_vec(lists)
        .map_err(|error| ClusterError::Repository(backstay_repo::RepoError::Invalid(error.to_string())))?;
    let extents = writer.as_mut().map_or_else(|| Ok(Vec::new()), |writer| put_pieces(writer, &lists))?;
    let lists = document_item(LISTS, repository.keys().content_hash(&lists), extents);
    let mut builder = TreeBuilder::new(repository.keys(), repository.config().trees.objects);
    let mut store = |kind: RecordKind, plain: &[u8]| -> Result<ChunkId> {
        match &mut writer {
            Some(writer) => Ok(writer.put(kind, plain, Hint::Plain)?),
            None => Ok(repository.keys().name(kind, plain)),
        }
    };
    let mut directories = 0;
    let mut push = |item: &Item| {
        directories += u64::from(item.is_directory());
        builder.push(item, &mut store)
    };
    push(&Item::bare_directory(Vec::new()))?;
    push(&lists)?;
    push(&Item::bare_directory(ROOT.to_vec()))?;
    for taken in all.iter().filter(|taken| !taken.entries.is_empty()) {
        let directory = tree_key_of_resource(&taken.resource.name);
        let api_version = taken.resource.api_version();
        push(&Item::bare_directory(directory.clone()))?;
        let mut before: &[u8] = b"";
        for entry in &taken.entries {
            let ends = entry.key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
            for end in ends {
                // A directory is new where the entry before was not in it.
                if before.get(..=end) != Some(&entry.key[..=end]) {
                    push(&Item::bare_directory([&directory[..], b"\0", &entry.key[..end]].concat()))?;
                }
            }
            push(&entry.item(&directory, &api_version, chunks))?;
            before = &entry.key;
        }
    }
    Ok((builder.finish(&mut store)?, directories))
}

//! What a repository holds, and how much deduplication and compression save.
//!
//! Two sources, both cheap: the snapshots' own counts say what would be restored, the local index says what is stored. What
//! nothing refers to any more counts as stored until a collection lets it go.

use backstay_format::ids::ChunkId;
use backstay_format::pack::PackKind;

use crate::error::{RepoError, Result};
use crate::repository::Repository;

/// Sums over the whole repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct RepositoryStatistics {
    pub snapshots: u64,
    /// Files of all snapshots, each counted in every snapshot that has it.
    pub snapshots_files: u64,
    /// Their apparent size: what restoring every snapshot would write.
    pub snapshots_bytes: u64,
    /// Contents of files and objects.
    pub data: KindStatistics,
    /// Trees, content lists and ledgers.
    pub trees: KindStatistics,
    /// Records that are stored more than once, and the bytes of their further copies.
    pub duplicate_records: u64,
    pub duplicate_stored_bytes: u64,
    pub index_segments: u64,
}

/// Sums over the records of one kind of pack. Each record counts once, however many copies there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct KindStatistics {
    pub records: u64,
    pub plain_bytes: u64,
    /// Compressed and sealed.
    pub stored_bytes: u64,
    pub packs: u64,
}

/// Sums up the state as last read.
pub fn statistics(repository: &Repository) -> Result<RepositoryStatistics> {
    sum_up(repository).or_else(|error| match error {
        // The local index is a cache: one that cannot be read is built anew.
        RepoError::Index(_) => {
            repository.rebuild_index()?;
            sum_up(repository)
        }
        error => Err(error),
    })
}

fn sum_up(repository: &Repository) -> Result<RepositoryStatistics> {
    let mut statistics = RepositoryStatistics {
        index_segments: repository.state().segments().len() as u64,
        ..RepositoryStatistics::default()
    };
    for snapshot in repository.snapshots() {
        statistics.snapshots += 1;
        statistics.snapshots_files += snapshot.summary.files;
        statistics.snapshots_bytes += snapshot.summary.size_bytes;
    }
    let index = repository.index()?;
    let mut last: Option<ChunkId> = None;
    index.for_each_chunk(&mut |id, location| {
        // Copies of a record come one after another.
        if last == Some(id) {
            statistics.duplicate_records += 1;
            statistics.duplicate_stored_bytes += u64::from(location.stored_len);
            return Ok(());
        }
        last = Some(id);
        let kind = statistics.of(location.kind);
        kind.records += 1;
        kind.plain_bytes += u64::from(location.raw_len);
        kind.stored_bytes += u64::from(location.stored_len);
        Ok(())
    })?;
    for pack in index.packs()?.into_iter().filter(|pack| pack.live) {
        statistics.of(pack.kind).packs += 1;
    }
    Ok(statistics)
}

impl RepositoryStatistics {
    fn of(&mut self, kind: PackKind) -> &mut KindStatistics {
        match kind {
            PackKind::Data => &mut self.data,
            PackKind::Tree => &mut self.trees,
        }
    }
}

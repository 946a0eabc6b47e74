//! A safe, concurrent, collectable repository on any object store.
//!
//! Blocking calls on plain threads; only `store` knows of async. What is stored and what it means is `backstay-format`'s;
//! files and Kubernetes are other crates'. Order of all writing: packs, index segments, one log entry (docs/design/0002).

mod amend;
mod changes;
pub mod check;
mod checkpoint;
mod clock;
pub mod closure;
pub mod copy;
mod crew;
mod error;
mod forget;
pub mod gc;
pub mod heal;
pub mod index;
pub mod names;
mod progress;
pub mod protocol;
mod reader;
pub mod repair;
mod repository;
mod reserve;
pub mod retention;
mod salvage;
mod select;
pub mod stats;
pub mod store;
mod transfer;
pub mod tree;
mod writer;

pub use changes::{Changes, Span};
pub use checkpoint::CHECKPOINT_ENTRIES;
pub use clock::{Clock, timestamp_text};
pub use error::{ErrorKind, RepoError, Result};
pub use forget::{ForgetError, PolicyOutcome};
pub use index::Cache;
pub use progress::Progress;
pub use protocol::LetGo;
pub use reader::{ReadSpan, Reader};
pub use repository::{Append, DamagedKey, KeyInfo, KeySlots, MEMORY_BYTES_DEFAULT, OpenOptions, Repository};
pub use select::Selection;
pub use writer::{ChunkWriter, Writer, WriterStatistics, new_snapshot_id, read_ledger};

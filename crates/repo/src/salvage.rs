//! What a disk still gives of an object that it cannot read whole.

use bytes::Bytes;

use crate::error::Result;
use crate::store::{ErrorKind, Store, StoreError};

/// Most file systems lose no less at once.
const PIECE_BYTES: usize = 4096;
/// Into how many parts a run is cut that cannot be read whole: of a pack of 64 MiB with one bad place, some 60 reads.
const PARTS: usize = 16;

/// An object's bytes; nothing where it is missing. Zeros are in the place of what cannot be read: damage like any other, to
/// whoever compares the bytes with what they should be, and all else is there.
pub(crate) fn stored(store: &Store, name: &str) -> Result<Option<Bytes>> {
    let size_bytes = match store.get(name) {
        Err(error) if error.kind() == ErrorKind::Corrupt => match store.head(name) {
            Err(error) if error.kind() == ErrorKind::Corrupt => 0,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?.size_bytes,
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => return Ok(Some(read?)),
    };
    salvage(store, name, size_bytes)
}

/// The same of the first so many bytes of an object that could not be read whole.
pub(crate) fn salvage(store: &Store, name: &str, size_bytes: u64) -> Result<Option<Bytes>> {
    tracing::warn!(name, "it cannot be read whole, and is read piece by piece");
    let mut bytes = vec![0; usize::try_from(size_bytes).unwrap_or_default()];
    match fill(store, name, 0, &mut bytes) {
        Ok(()) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn fill(store: &Store, name: &str, start: u64, into: &mut [u8]) -> std::result::Result<(), StoreError> {
    match store.get_range(name, start..start + into.len() as u64) {
        Ok(bytes) => into.copy_from_slice(&bytes),
        Err(error) if error.kind() == ErrorKind::Corrupt && into.len() > PIECE_BYTES => {
            let part_bytes = into.len().div_ceil(PARTS).max(PIECE_BYTES);
            for (n, part) in into.chunks_mut(part_bytes).enumerate() {
                fill(store, name, start + (n * part_bytes) as u64, part)?;
            }
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

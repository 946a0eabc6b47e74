//! Bytes that are given up on a full disk, so that forgetting and collecting, which make room, have room to begin with.
//!
//! A directory has a reserve from its making on; a bucket has none, as there the disk is somebody else's. Deleting it decides
//! nothing, so that anybody may do it at any time. Whoever has made room puts it back: a collection.

use bytes::Bytes;

use crate::error::{ErrorKind, Result};
use crate::names;
use crate::store::{self, Store};

/// Many log entries, and the index segment of a large merge.
const RESERVE_BYTES: usize = 16 << 20;

/// Does the work; where the store is full, once more without the reserve, if it is still there.
pub(crate) fn with_reserve<T>(store: &Store, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    match work() {
        Err(error) if error.kind() == ErrorKind::Full && give_up(store)? => work(),
        done => done,
    }
}

/// Says whether there was a reserve to give up.
pub(crate) fn give_up(store: &Store) -> Result<bool> {
    match store.head(names::RESERVE) {
        Ok(_) => store.delete(names::RESERVE)?,
        Err(error) if error.kind() == store::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    tracing::info!("the store is full: its reserve is given up until a collection has made room");
    Ok(true)
}

/// Makes the reserve, where a directory has none and there is room.
pub(crate) fn put_back(store: &Store) -> Result<()> {
    match require(store) {
        Err(error) if error.kind() == ErrorKind::Full => {
            tracing::info!("the store is too full for its reserve");
            Ok(())
        }
        done => done,
    }
}

/// The same; a directory without room for it is full, to whoever would fill what a collection needs.
pub(crate) fn require(store: &Store) -> Result<()> {
    if !store.is_directory() {
        return Ok(());
    }
    match store.head(names::RESERVE) {
        Err(error) if error.kind() == store::ErrorKind::NotFound => {
            Ok(store.put(names::RESERVE, Bytes::from(vec![0; RESERVE_BYTES]))?)
        }
        there => Ok(there.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RepoError;
    use crate::store::{Location, StoreOptions};

    fn size(store: &Store) -> Option<u64> {
        store.head(names::RESERVE).ok().map(|object| object.size_bytes)
    }

    #[test]
    fn the_reserve_is_given_up_once_and_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Directory(folder.path().to_owned());
        let store = Store::open(&location, &StoreOptions::default()).unwrap();
        put_back(&store).unwrap();
        assert_eq!(size(&store), Some(16 << 20));
        assert!(give_up(&store).unwrap());
        assert_eq!(size(&store), None);
        assert!(!give_up(&store).unwrap(), "there is no second one");
        put_back(&store).unwrap();
        put_back(&store).unwrap();
        assert_eq!(size(&store), Some(16 << 20));
        let other = with_reserve(&store, || Err::<(), _>(RepoError::Invalid("not about space".to_owned())));
        assert!(matches!(other, Err(RepoError::Invalid(_))));
        assert_eq!(size(&store), Some(16 << 20), "only a full disk takes it");
    }
}

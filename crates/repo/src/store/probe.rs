//! Finding out what a store honours, before a repository relies on it.

use bytes::Bytes;

use super::{Created, ErrorKind, Operation, Store, StoreError};
use crate::store::error::Failure;

/// What a store was seen to do, see [`Store::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Of two writers of one name, the second is refused. Without it no commit is safe from another one.
    pub create_if_absent: bool,
    pub read_after_write: bool,
    pub list_after_write: bool,
    /// False where a retention period or missing permission keeps what was written.
    pub delete: bool,
}

impl Capabilities {
    fn is_consistent(self) -> bool {
        self.create_if_absent && self.read_after_write && self.list_after_write
    }
}

/// So often something has to be missing in a row to be believed: whoever sleeps for days in the middle of this comes back to an object
/// that a collection has swept away.
const MISSING_TIMES: u32 = 3;

pub(super) fn probe(store: &Store) -> Result<Capabilities, StoreError> {
    let mut seen = probe_once(store)?;
    for _ in 1..MISSING_TIMES {
        if seen.is_consistent() {
            break;
        }
        seen = probe_once(store)?;
    }
    Ok(seen)
}

fn probe_once(store: &Store) -> Result<Capabilities, StoreError> {
    let nonce = |which: &str| -> Result<String, StoreError> {
        let random: [u8; 16] = backstay_format::crypto::random().map_err(|error| {
            let failure = Failure::new(ErrorKind::Invalid, format!("no random bytes: {error}"));
            StoreError::new(Operation::Open, "", store.location(), failure)
        })?;
        Ok(format!("{which}{:032x}", u128::from_le_bytes(random)))
    };
    let name = nonce("probe/")?;
    let first = Bytes::from(nonce("first ")?);
    let second = Bytes::from(nonce("second ")?);

    let mut stored = &first;
    let create_if_absent = match store.create(&name, first.clone()) {
        Ok(_) => store.create(&name, second.clone())? == Created::Exists,
        Err(error) if error.kind() == ErrorKind::Invalid => {
            store.overwrite(&name, first.clone())?;
            false
        }
        Err(error) => return Err(error),
    };
    let found = absent_is_none(store.get(&name))?;
    if !create_if_absent && found.as_ref() == Some(&second) {
        stored = &second;
    }
    let read_after_write = found.as_ref() == Some(stored);
    let list_after_write = store.list("probe")?.iter().any(|object| object.name == name);
    let delete = match store.delete(&name) {
        Ok(()) => absent_is_none(store.get(&name))?.is_none(),
        Err(error) if error.kind() == ErrorKind::Denied => false,
        Err(error) => return Err(error),
    };
    Ok(Capabilities { create_if_absent, read_after_write, list_after_write, delete })
}

fn absent_is_none(found: Result<Bytes, StoreError>) -> Result<Option<Bytes>, StoreError> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

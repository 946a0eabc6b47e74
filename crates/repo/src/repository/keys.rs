//! Key slots: who can open the repository.

use backstay_format::config::{KeySlot, Secret};
use backstay_format::crypto::MasterKey;
use backstay_format::ids::{KeyId, RepositoryId};
use bytes::Bytes;

use super::Repository;
use crate::error::{RepoError, Result};
use crate::names;
use crate::salvage::stored;
use crate::store::Store;

/// A key slot, for people.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    pub id: KeyId,
    pub slot: KeySlot,
}

/// A key slot that nobody can open.
#[derive(Debug, Clone)]
pub struct DamagedKey {
    pub id: KeyId,
    pub problem: String,
}

/// Every key slot.
#[derive(Debug, Clone, Default)]
pub struct KeySlots {
    pub intact: Vec<KeyInfo>,
    pub damaged: Vec<DamagedKey>,
}

impl Repository {
    /// Every key slot.
    pub fn keys_list(&self) -> Result<KeySlots> {
        let mut slots = KeySlots::default();
        for (id, bytes) in stored_slots(&self.store)? {
            match KeySlot::read(&bytes) {
                Ok(slot) => slots.intact.push(KeyInfo { id, slot }),
                Err(error) => slots.damaged.push(DamagedKey { id, problem: error.to_string() }),
            }
        }
        Ok(slots)
    }

    /// Adds a slot for another secret. `own` is a secret that opens the repository now: the master key is not kept in memory.
    pub fn key_add(&self, own: &Secret, new: &Secret, label: &str) -> Result<KeyId> {
        let repository = self.config.repository;
        let master = unlock(&self.store, repository, own)?;
        let slot = KeySlot::seal(&master, new, repository, label, &self.clock().now_text())
            .map_err(RepoError::making("a key slot"))?;
        self.store.put(&names::key(&slot.id), slot.bytes.into())?;
        Ok(slot.id)
    }

    /// Removes a slot; never the last one that is readable.
    pub fn key_remove(&self, id: &KeyId) -> Result<()> {
        let KeySlots { intact, damaged } = self.keys_list()?;
        let is_intact = intact.iter().any(|key| key.id == *id);
        if !is_intact && !damaged.iter().any(|key| key.id == *id) {
            return Err(RepoError::Invalid(format!("there is no key slot {id}")));
        }
        if is_intact && intact.len() == 1 {
            return Err(RepoError::Invalid(format!(
                "key slot {id} is the only one that can be read: without it nobody can open the repository"
            )));
        }
        Ok(self.store.delete(&names::key(id))?)
    }
}

pub(crate) fn stored_slots(store: &Store) -> Result<Vec<(KeyId, Bytes)>> {
    let mut slots = Vec::new();
    for object in store.list(names::KEYS)? {
        // One that was removed since it was listed is none.
        if let Some(id) = names::key_of(&object.name)
            && let Some(bytes) = stored(store, &object.name)?
        {
            slots.push((id, bytes));
        }
    }
    Ok(slots)
}

/// Tries the secret on every slot.
pub(crate) fn unlock(store: &Store, repository: RepositoryId, secret: &Secret) -> Result<MasterKey> {
    let mut damage = None;
    for (id, bytes) in stored_slots(store)? {
        match KeySlot::read(&bytes).and_then(|slot| slot.open(secret).map(|master| (slot, master))) {
            Ok((slot, Some(master))) if slot.repository == repository => return Ok(master),
            Ok(_) => {}
            Err(source) => damage = Some(RepoError::Damaged { object: names::key(&id), source }),
        }
    }
    Err(damage.unwrap_or_else(|| RepoError::WrongPassword { location: store.location().to_owned() }))
}

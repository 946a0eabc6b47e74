//! What audits leave in the repository: read, taken over, written. The bytes are `backstay_format::audit`'s.
//!
//! It is advice: what cannot be read is as good as absent here, and a check names it.

use backstay_format::audit::Damaged;
use bytes::Bytes;

use crate::error::{RepoError, Result};
use crate::names;
use crate::repository::Repository;
use crate::store::ErrorKind;

impl Repository {
    /// What is damaged, as far as the last audits and repairs know; nothing where they found nothing. One request.
    pub fn damaged(&self) -> Result<Option<Damaged>> {
        let stored = match self.store().get(names::DAMAGE) {
            Ok(stored) => stored,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match Damaged::open(self.keys(), &stored) {
            Ok(damaged) => Ok(Some(damaged)),
            Err(error) => {
                tracing::warn!(%error, "the list of what is damaged cannot be read");
                Ok(None)
            }
        }
    }

    /// Says anew what is damaged: whoever found or mended damage knows. Of two that say so at once, the later one counts, until
    /// the next audit.
    pub fn save_damaged(&self, damaged: &Damaged) -> Result<()> {
        if !self.may_write() {
            return Err(RepoError::ReadOnly);
        }
        if damaged.is_empty() {
            return Ok(self.store().delete(names::DAMAGE)?);
        }
        let stored = damaged.seal(self.keys()).map_err(RepoError::making("the list of what is damaged"))?;
        Ok(self.store().overwrite(names::DAMAGE, Bytes::from(stored))?)
    }
}

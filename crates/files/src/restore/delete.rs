//! Removing what stands in the way, and what the snapshot does not have.

use std::os::fd::AsFd as _;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Restore;
use super::target::{Held, NewDirectory, names_in, stat_in};

impl Restore<'_> {
    /// Removes an entry of a directory with everything in it, links as links; returns how many entries that were. A dry run
    /// only counts.
    ///
    /// Not by recursion, and with few directories open: trees are deeper than stacks and tables of descriptors are large.
    pub(super) fn remove_tree(&self, parent: &Held<'_>, name: &[u8]) -> Result<u64, Errno> {
        let mut removed = 0;
        // Directories that are being emptied, and what is still in them.
        let mut open = vec![(parent.clone(), vec![name.to_vec()])];
        while let Some((directory, names)) = open.last_mut() {
            let Some(name) = names.pop() else {
                if let Some((emptied, _)) = open.pop()
                    && let Some((above, _)) = open.last()
                {
                    self.unlink(above, emptied.name(), AtFlags::REMOVEDIR)?;
                    removed += 1;
                }
                continue;
            };
            let fd = directory.fd()?;
            if stat_in(&fd, &name)?.is_directory() {
                let child = directory.child(NewDirectory {
                    key: directory.key_of(&name),
                    name,
                    is_fresh: false,
                    has_default_acl: false,
                    metadata: None,
                });
                let names = names_in(child.fd()?.as_fd())?;
                open.push((child, names));
            } else {
                self.unlink(directory, &name, AtFlags::empty())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn unlink(&self, directory: &Held<'_>, name: &[u8], flags: AtFlags) -> Result<(), Errno> {
        if self.options.dry_run {
            return Ok(());
        }
        rustix::fs::unlinkat(directory.fd()?, name, flags)
    }
}

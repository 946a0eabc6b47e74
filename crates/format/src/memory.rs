//! Memory for Argon2, in huge pages where the system has them.
//!
//! Argon2 reads all over its memory: with small pages half of its time goes into page faults and address translation. The
//! standard allocator cannot be asked for huge pages, so this file maps memory itself; all unsafe code of the crate is here.

use std::ffi::c_void;
use std::ptr::NonNull;

use argon2::Block;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Zeroed blocks in a mapping of their own.
pub(crate) struct Blocks {
    start: NonNull<c_void>,
    count: usize,
}

impl Blocks {
    /// Maps memory for so many blocks, at least one.
    pub(crate) fn new(count: usize) -> Result<Self, Errno> {
        let bytes = count.checked_mul(Block::SIZE).ok_or(Errno::NOMEM)?;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the kernel chooses the place, so that nothing else is there.
        #[expect(unsafe_code, reason = "there is no safe way to ask for huge pages")]
        let mapped = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) }?;
        let blocks = Self { start: NonNull::new(mapped).ok_or(Errno::NOMEM)?, count };
        // SAFETY: the range is the mapping just made, and the advice changes no contents.
        #[expect(unsafe_code, reason = "other advice could throw contents away")]
        let advised = unsafe { madvise(mapped, bytes, Advice::LinuxHugepage) };
        // Without huge pages it is only slower.
        let _ = advised;
        Ok(blocks)
    }
}

impl AsMut<[Block]> for Blocks {
    fn as_mut(&mut self) -> &mut [Block] {
        // SAFETY: the mapping is this value's own, page-aligned and so long; a block is integers, for which zeroes are valid.
        #[expect(unsafe_code, reason = "the mapping is not a Rust allocation")]
        unsafe {
            std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.count)
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and nothing borrows it any more.
        #[expect(unsafe_code, reason = "the mapping is not a Rust allocation")]
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.count * Block::SIZE) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

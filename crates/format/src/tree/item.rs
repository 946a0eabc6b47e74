//! An item: one file, directory, link or special file, with its metadata and where its contents are.
//!
//! New fields go into extensions, which a program that does not know them keeps.

use std::sync::Arc;

use super::content::Content;
use super::node::{TableReader, Tables};
use crate::error::{FormatError, Result};
use crate::wire::{Reader, put_var_bytes, put_varint, put_zigzag};

const WHAT: &str = "a tree item";

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Path components joined by zero bytes, without a leading one; empty for the root directory itself.
    pub key: Vec<u8>,
    pub kind: ItemKind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub user: Option<Arc<str>>,
    pub group: Option<Arc<str>>,
    pub modified: Time,
    pub changed: Time,
    pub inode: u64,
    pub xattrs: Vec<Xattr>,
    pub extensions: Vec<Extension>,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    Directory,
    File {
        size_bytes: u64,
        content: Content,
        /// Set where the contents lie inside a bundle: tells a touched file from a changed one.
        hash: Option<[u8; 16]>,
        /// Changed so shortly before the scan that its times prove nothing: read again next time.
        racy: bool,
    },
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    /// Another name of a file that comes earlier in the order; `target` is its key.
    HardLink {
        target: Vec<u8>,
    },
}

/// Seconds since the epoch and nanoseconds, as the file system gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// A field that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extension {
    pub number: u64,
    pub value: Vec<u8>,
}

/// The key of a path: its components, without empty ones. The caller has resolved `.` and `..`.
pub fn key_of_path(path: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len());
    for component in path.split(|byte| *byte == b'/').filter(|component| !component.is_empty()) {
        if !key.is_empty() {
            key.push(0);
        }
        key.extend_from_slice(component);
    }
    key
}

/// The path of a key, relative: components joined by slashes.
pub fn path_of_key(key: &[u8]) -> Vec<u8> {
    key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect()
}

/// The same for people: bytes that are not UTF-8 are replaced.
pub fn display_key(key: &[u8]) -> String {
    String::from_utf8_lossy(&path_of_key(key)).into_owned()
}

/// The key of the directory that a key is in; nothing for the root.
pub fn key_parent(key: &[u8]) -> Option<&[u8]> {
    if key.is_empty() {
        return None;
    }
    Some(key.iter().rposition(|byte| *byte == 0).map_or(&[][..], |at| &key[..at]))
}

mod tag {
    pub(super) const DIRECTORY: u8 = 1;
    pub(super) const FILE: u8 = 2;
    pub(super) const SYMLINK: u8 = 3;
    pub(super) const FIFO: u8 = 4;
    pub(super) const CHAR_DEVICE: u8 = 5;
    pub(super) const BLOCK_DEVICE: u8 = 6;
    pub(super) const HARD_LINK: u8 = 7;
}

mod flag {
    pub(super) const USER: u64 = 1;
    pub(super) const GROUP: u64 = 1 << 1;
    pub(super) const XATTRS: u64 = 1 << 2;
    /// The change time is the modification time.
    pub(super) const UNCHANGED_SINCE: u64 = 1 << 3;
    pub(super) const HASH: u64 = 1 << 4;
    pub(super) const RACY: u64 = 1 << 5;
    pub(super) const EXTENSIONS: u64 = 1 << 6;
    pub(super) const ALL: u64 = (1 << 7) - 1;
}

impl Item {
    /// A directory that only exists because something below it was backed up.
    pub fn bare_directory(key: Vec<u8>) -> Self {
        Self {
            key,
            kind: ItemKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            modified: Time::default(),
            changed: Time::default(),
            inode: 0,
            xattrs: Vec::new(),
            extensions: Vec::new(),
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.kind, ItemKind::Directory)
    }

    /// Apparent size of a file, 0 for anything else.
    pub fn size_bytes(&self) -> u64 {
        match self.kind {
            ItemKind::File { size_bytes, .. } => size_bytes,
            _ => 0,
        }
    }

    /// Encodes everything but the key.
    pub(super) fn encode_body(&self, tables: &mut Tables, out: &mut Vec<u8>) {
        out.push(match self.kind {
            ItemKind::Directory => tag::DIRECTORY,
            ItemKind::File { .. } => tag::FILE,
            ItemKind::Symlink { .. } => tag::SYMLINK,
            ItemKind::Fifo => tag::FIFO,
            ItemKind::CharDevice { .. } => tag::CHAR_DEVICE,
            ItemKind::BlockDevice { .. } => tag::BLOCK_DEVICE,
            ItemKind::HardLink { .. } => tag::HARD_LINK,
        });
        let mut flags = 0;
        let mut set = |flag, on| flags |= if on { flag } else { 0 };
        set(flag::USER, self.user.is_some());
        set(flag::GROUP, self.group.is_some());
        set(flag::XATTRS, !self.xattrs.is_empty());
        set(flag::UNCHANGED_SINCE, self.changed == self.modified);
        set(flag::HASH, matches!(self.kind, ItemKind::File { hash: Some(_), .. }));
        set(flag::RACY, matches!(self.kind, ItemKind::File { racy: true, .. }));
        set(flag::EXTENSIONS, !self.extensions.is_empty());
        put_varint(out, flags);
        put_varint(out, self.mode.into());
        put_varint(out, self.uid.into());
        put_varint(out, self.gid.into());
        for name in [&self.user, &self.group].into_iter().flatten() {
            put_varint(out, tables.string(name));
        }
        put_time(out, self.modified);
        if self.changed != self.modified {
            put_time(out, self.changed);
        }
        put_varint(out, self.inode);
        match &self.kind {
            ItemKind::Directory | ItemKind::Fifo => {}
            ItemKind::File { size_bytes, content, hash, racy: _ } => {
                put_varint(out, *size_bytes);
                content.encode(tables, out);
                if let Some(hash) = hash {
                    out.extend_from_slice(hash);
                }
            }
            ItemKind::Symlink { target } | ItemKind::HardLink { target } => put_var_bytes(out, target),
            ItemKind::CharDevice { major, minor } | ItemKind::BlockDevice { major, minor } => {
                put_varint(out, (*major).into());
                put_varint(out, (*minor).into());
            }
        }
        if !self.xattrs.is_empty() {
            put_varint(out, self.xattrs.len() as u64);
            for xattr in &self.xattrs {
                put_var_bytes(out, &xattr.name);
                put_var_bytes(out, &xattr.value);
            }
        }
        if !self.extensions.is_empty() {
            put_varint(out, self.extensions.len() as u64);
            for extension in &self.extensions {
                put_varint(out, extension.number);
                put_var_bytes(out, &extension.value);
            }
        }
    }

    pub(super) fn decode_body(key: Vec<u8>, body: &[u8], tables: &TableReader) -> Result<Self> {
        let mut reader = Reader::new(WHAT, body);
        let tag = reader.u8()?;
        let flags = reader.varint()?;
        if flags & !flag::ALL != 0 {
            return Err(FormatError::invalid(WHAT, format!("flags {flags:#x} are not known")));
        }
        let mode = small(reader.varint()?)?;
        let uid = small(reader.varint()?)?;
        let gid = small(reader.varint()?)?;
        let mut name = |flag| -> Result<Option<Arc<str>>> {
            if flags & flag == 0 { Ok(None) } else { tables.string(reader.varint()?).map(Some) }
        };
        let (user, group) = (name(flag::USER)?, name(flag::GROUP)?);
        let modified = time(&mut reader)?;
        let changed = if flags & flag::UNCHANGED_SINCE == 0 { time(&mut reader)? } else { modified };
        let inode = reader.varint()?;
        let kind = match tag {
            tag::DIRECTORY => ItemKind::Directory,
            tag::FIFO => ItemKind::Fifo,
            tag::FILE => {
                let size_bytes = reader.varint()?;
                let content = Content::decode(tables, &mut reader)?;
                if content.length() != Some(size_bytes) {
                    return Err(FormatError::invalid(WHAT, "its size is not the sum of its contents"));
                }
                let hash = if flags & flag::HASH == 0 { None } else { Some(reader.array()?) };
                ItemKind::File { size_bytes, content, hash, racy: flags & flag::RACY != 0 }
            }
            tag::SYMLINK => ItemKind::Symlink { target: reader.var_bytes()?.to_vec() },
            tag::HARD_LINK => ItemKind::HardLink { target: reader.var_bytes()?.to_vec() },
            tag::CHAR_DEVICE => {
                ItemKind::CharDevice { major: small(reader.varint()?)?, minor: small(reader.varint()?)? }
            }
            tag::BLOCK_DEVICE => {
                ItemKind::BlockDevice { major: small(reader.varint()?)?, minor: small(reader.varint()?)? }
            }
            _ => return Err(FormatError::invalid(WHAT, format!("type {tag} is not known"))),
        };
        let mut xattrs = Vec::new();
        if flags & flag::XATTRS != 0 {
            for _ in 0..reader.varint()? {
                xattrs.push(Xattr { name: reader.var_bytes()?.to_vec(), value: reader.var_bytes()?.to_vec() });
            }
        }
        let mut extensions = Vec::new();
        if flags & flag::EXTENSIONS != 0 {
            for _ in 0..reader.varint()? {
                extensions.push(Extension { number: reader.varint()?, value: reader.var_bytes()?.to_vec() });
            }
        }
        reader.finish()?;
        Ok(Self { key, kind, mode, uid, gid, user, group, modified, changed, inode, xattrs, extensions })
    }
}

fn put_time(out: &mut Vec<u8>, time: Time) {
    put_zigzag(out, time.seconds);
    put_varint(out, time.nanoseconds.into());
}

fn time(reader: &mut Reader<'_>) -> Result<Time> {
    Ok(Time { seconds: reader.zigzag()?, nanoseconds: small(reader.varint()?)? })
}

fn small(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| FormatError::invalid(WHAT, "a number is larger than 32 bits"))
}

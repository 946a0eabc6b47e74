//! Where a run of bytes is cut: FastCDC 2020 with a secret gear table, or fixed sizes.
//!
//! The crate `fastcdc` is pinned exactly and its cut points are held by golden vectors: a changed cut point would store
//! everything anew.

use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use serde::{Deserialize, Serialize};

use crate::crypto::Keys;
use crate::error::{FormatError, Result};

/// No chunk is longer than this; a record that says otherwise is damage.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;

/// How a source's bytes are cut, as the config and the snapshots name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all = "kebab-case")]
pub enum Chunking {
    /// FastCDC of 2020, normalisation level 1, over the repository's own gear table.
    Fastcdc2020 {
        min_bytes: u32,
        average_bytes: u32,
        max_bytes: u32,
    },
    Fixed {
        size_bytes: u32,
    },
}

impl Chunking {
    /// For everything that is not better known: 256 KiB, 1 MiB, 4 MiB.
    pub const DEFAULT: Self = Self::Fastcdc2020 { min_bytes: 256 << 10, average_bytes: 1 << 20, max_bytes: 4 << 20 };
    /// For files that are changed in place, block by block.
    pub const DATABASE: Self = Self::Fixed { size_bytes: 1 << 20 };

    pub fn max_bytes(&self) -> usize {
        match *self {
            Self::Fastcdc2020 { max_bytes, .. } => max_bytes as usize,
            Self::Fixed { size_bytes } => size_bytes as usize,
        }
    }

    /// A file up to this size is one chunk, whatever is in it.
    pub fn min_bytes(&self) -> usize {
        match *self {
            Self::Fastcdc2020 { min_bytes, .. } => min_bytes as usize,
            Self::Fixed { size_bytes } => size_bytes as usize,
        }
    }

    fn validate(&self) -> Result<()> {
        let valid = match *self {
            Self::Fastcdc2020 { min_bytes, average_bytes, max_bytes } => {
                min_bytes >= 64
                    && min_bytes <= average_bytes
                    && average_bytes <= max_bytes
                    && average_bytes <= 4 << 20
                    && max_bytes as usize <= CHUNK_BYTES_MAX
                    // Odd sizes move the cut points by one (the crate asserts it in debug builds only).
                    && (min_bytes | average_bytes | max_bytes) % 2 == 0
            }
            Self::Fixed { size_bytes } => size_bytes >= 4096 && size_bytes as usize <= CHUNK_BYTES_MAX,
        };
        if valid { Ok(()) } else { Err(FormatError::invalid("the chunking", format!("{self:?} is out of range"))) }
    }
}

/// Cuts by one `Chunking`.
pub struct Chunker {
    chunking: Chunking,
    masks: (u64, u64),
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

impl Chunker {
    pub fn new(chunking: Chunking, keys: &Keys) -> Result<Self> {
        chunking.validate()?;
        let masks = match chunking {
            Chunking::Fastcdc2020 { average_bytes, .. } => select_masks(average_bytes as usize, Normalization::Level1),
            Chunking::Fixed { .. } => (0, 0),
        };
        let gear = keys.gear_table();
        let mut gear_shifted = gear.clone();
        for word in gear_shifted.iter_mut() {
            *word <<= 1;
        }
        Ok(Self { chunking, masks, gear, gear_shifted })
    }

    pub fn chunking(&self) -> Chunking {
        self.chunking
    }

    /// The length of the first chunk of `data`. `data` must hold `max_bytes` or everything up to the end.
    pub fn cut(&self, data: &[u8]) -> usize {
        match self.chunking {
            Chunking::Fastcdc2020 { min_bytes, average_bytes, max_bytes } => {
                let (mask_small, mask_large) = self.masks;
                let (_, length) = cut_gear(
                    data,
                    min_bytes as usize,
                    average_bytes as usize,
                    max_bytes as usize,
                    mask_small,
                    mask_large,
                    mask_small << 1,
                    mask_large << 1,
                    &self.gear[..],
                    &self.gear_shifted[..],
                );
                length
            }
            Chunking::Fixed { size_bytes } => data.len().min(size_bytes as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::ids::RepositoryId;
    use proptest::prelude::*;

    fn chunker(chunking: Chunking, master: u8) -> Chunker {
        let keys = Keys::derive(&MasterKey::from_bytes([master; 32]), RepositoryId::new([1; 16]));
        Chunker::new(chunking, &keys).unwrap()
    }

    /// The definition in docs/format.md, byte by byte: the model that `cut` is compared with.
    fn naive_cut(chunker: &Chunker, data: &[u8]) -> usize {
        let Chunking::Fastcdc2020 { min_bytes, average_bytes, max_bytes } = chunker.chunking else {
            return data.len().min(chunker.chunking.max_bytes());
        };
        let end = data.len().min(max_bytes as usize);
        let switch = end.min(average_bytes as usize) & !1;
        let mut hash = 0u64;
        for (position, byte) in data.iter().enumerate().take(end & !1).skip(min_bytes as usize) {
            hash = (hash << 1).wrapping_add(chunker.gear[*byte as usize]);
            let mask = if position < switch { chunker.masks.0 } else { chunker.masks.1 };
            if hash & mask == 0 {
                return position;
            }
        }
        end
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    const SMALL: Chunking = Chunking::Fastcdc2020 { min_bytes: 64, average_bytes: 256, max_bytes: 1024 };

    proptest! {
        #[test]
        fn cuts_equal_the_definition(seed: u64, length in 0usize..5000) {
            let data = noise(seed, length);
            let chunker = chunker(SMALL, 3);
            let mut rest = &data[..];
            while !rest.is_empty() {
                let cut = chunker.cut(rest);
                prop_assert_eq!(cut, naive_cut(&chunker, rest));
                prop_assert!(cut > 0 && cut <= 1024);
                rest = &rest[cut..];
            }
        }
    }

    #[test]
    fn cut_points_never_change() {
        let data = noise(1, 24 << 20);
        let chunker = chunker(Chunking::DEFAULT, 7);
        let mut cuts = Vec::new();
        let mut position = 0;
        while position < data.len() {
            position += chunker.cut(&data[position..]);
            cuts.push(position);
        }
        assert_eq!(
            cuts,
            [
                1223934, 1510290, 2827903, 5017229, 5762574, 6087527, 6980033, 8525748, 9763752, 10261226, 11380237,
                12300287, 13659344, 14767971, 16153456, 17992777, 19404538, 20955250, 22843815, 24131333, 25017424,
                25165824
            ]
        );
    }

    #[test]
    fn another_master_key_cuts_elsewhere() {
        let data = noise(1, 8 << 20);
        assert_ne!(chunker(Chunking::DEFAULT, 1).cut(&data), chunker(Chunking::DEFAULT, 2).cut(&data));
    }

    #[test]
    fn sizes_out_of_range_or_odd_are_refused() {
        let keys = Keys::derive(&MasterKey::from_bytes([1; 32]), RepositoryId::new([1; 16]));
        for (min_bytes, average_bytes, max_bytes) in
            [(0, 256, 1024), (65, 256, 1024), (512, 256, 1024), (64, 8 << 20, 8 << 20)]
        {
            assert!(Chunker::new(Chunking::Fastcdc2020 { min_bytes, average_bytes, max_bytes }, &keys).is_err());
        }
        assert!(Chunker::new(Chunking::Fixed { size_bytes: 1 << 25 }, &keys).is_err());
    }
}

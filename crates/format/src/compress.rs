//! zstd, with or without one of the static dictionaries that ship with this crate.
//!
//! A dictionary is known by its number, is never changed, and was never trained on a user's data: it would hold pieces
//! of Secrets. Incompressible data is stored as it is.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::error::{FormatError, Result};

/// Level of everything unless the config says otherwise: the best trade measured (docs/design/0001).
pub const DEFAULT_LEVEL: i32 = 3;
/// Objects of a cluster are stored once and kept for years: half the speed for 5 % less (docs/design/0001).
const SMALL_JSON_LEVEL_MIN: i32 = 9;
/// With longer matches only, this costs no more time than level 9 without.
const JSON_BUNDLE_LEVEL_MIN: i32 = 10;
/// Among many objects, random text (Secrets, uids) finds three to five bytes again by chance, and naming the place costs more than
/// the bytes do: without such matches bundles are 3 % smaller (docs/design/0001).
const JSON_BUNDLE_MATCH_BYTES_MIN: u32 = 6;

/// How a body was compressed. The numbers are part of the format; 3 is reserved for deltas against another chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    Stored = 0,
    Zstd = 1,
    ZstdDictionary = 2,
}

impl Codec {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stored, Self::Zstd, Self::ZstdDictionary].into_iter().find(|codec| *codec as u8 == byte)
    }
}

/// A static dictionary. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dictionary {
    /// Small Kubernetes objects as JSON: made by `examples/train_dictionary`, measured in docs/design/0001.
    KubernetesJson = 1,
}

impl Dictionary {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        (byte == Self::KubernetesJson as u8).then_some(Self::KubernetesJson)
    }

    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::KubernetesJson => include_bytes!("dictionaries/kubernetes-json-1.zdict"),
        }
    }
}

/// What a caller knows about the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Any bytes: zstd without dictionary.
    Plain,
    /// One small Kubernetes object: a dictionary pays.
    SmallJson,
    /// Many of them, end to end.
    JsonBundle,
}

/// The contexts of one thread; they are costly to make and cheap to use again.
pub struct Codecs {
    level: i32,
    plain: Compressor<'static>,
    small_json: Option<Compressor<'static>>,
    json_bundle: Option<Compressor<'static>>,
    decompress: Decompressor<'static>,
    decompress_small_json: Option<Decompressor<'static>>,
    /// Compressed bytes before it is known whether they are worth keeping: never zeroed, as it is filled by zstd itself.
    compressed: Vec<u8>,
}

impl Codecs {
    pub fn new(level: i32) -> Result<Self> {
        Ok(Self {
            level,
            plain: Compressor::new(level).map_err(FormatError::Compression)?,
            small_json: None,
            json_bundle: None,
            decompress: Decompressor::new().map_err(FormatError::Compression)?,
            decompress_small_json: None,
            compressed: Vec::new(),
        })
    }

    /// Appends the compressed bytes, or the bytes themselves where compression gains nothing, and says which.
    pub(crate) fn compress(&mut self, hint: Hint, plain: &[u8], out: &mut Vec<u8>) -> Result<(Codec, u8)> {
        // Below this zstd's own header eats the gain.
        if plain.len() >= 32 {
            let compressor = match hint {
                Hint::Plain => &mut self.plain,
                Hint::SmallJson => match &mut self.small_json {
                    Some(compressor) => compressor,
                    empty => empty.insert(with_dictionary(self.level.max(SMALL_JSON_LEVEL_MIN), None)?),
                },
                Hint::JsonBundle => match &mut self.json_bundle {
                    Some(compressor) => compressor,
                    empty => {
                        let level = self.level.max(JSON_BUNDLE_LEVEL_MIN);
                        empty.insert(with_dictionary(level, Some(JSON_BUNDLE_MATCH_BYTES_MIN))?)
                    }
                },
            };
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
            let length =
                compressor.compress_to_buffer(plain, &mut self.compressed).map_err(FormatError::Compression)?;
            // Less than one part in 64 is not worth the work of every later read.
            if length + plain.len() / 64 < plain.len() {
                out.extend_from_slice(&self.compressed);
                return Ok(match hint {
                    Hint::Plain => (Codec::Zstd, 0),
                    Hint::SmallJson | Hint::JsonBundle => (Codec::ZstdDictionary, Dictionary::KubernetesJson as u8),
                });
            }
        }
        out.extend_from_slice(plain);
        Ok((Codec::Stored, 0))
    }

    /// Replaces `out` by the `raw_len` bytes that `body` stands for; neither more nor less.
    pub(crate) fn decompress(
        &mut self,
        what: &'static str,
        (codec, dictionary): (Codec, u8),
        body: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let decompressor = match codec {
            Codec::Stored => {
                if body.len() != raw_len {
                    return Err(FormatError::invalid(what, "its length is not the length it names"));
                }
                out.clear();
                out.extend_from_slice(body);
                return Ok(());
            }
            Codec::Zstd => &mut self.decompress,
            Codec::ZstdDictionary => {
                let dictionary = Dictionary::from_byte(dictionary)
                    .ok_or_else(|| FormatError::invalid(what, format!("dictionary {dictionary} is not known")))?;
                match &mut self.decompress_small_json {
                    Some(decompressor) => decompressor,
                    empty => empty
                        .insert(Decompressor::with_dictionary(dictionary.bytes()).map_err(FormatError::Compression)?),
                }
            }
        };
        // Written by zstd from the start of the buffer, up to its capacity: no need to zero it first.
        out.clear();
        out.reserve(raw_len);
        let length = decompressor
            .decompress_to_buffer(body, out)
            .map_err(|_| FormatError::invalid(what, "it cannot be decompressed"))?;
        if length != raw_len {
            return Err(FormatError::invalid(what, "it decompresses to another length than it names"));
        }
        Ok(())
    }
}

fn with_dictionary(level: i32, match_bytes_min: Option<u32>) -> Result<Compressor<'static>> {
    let mut compressor =
        Compressor::with_dictionary(level, Dictionary::KubernetesJson.bytes()).map_err(FormatError::Compression)?;
    if let Some(bytes) = match_bytes_min {
        compressor.set_parameter(CParameter::MinMatch(bytes)).map_err(FormatError::Compression)?;
    }
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hint: Hint, plain: &[u8], expected: Codec) {
        let mut codecs = Codecs::new(DEFAULT_LEVEL).unwrap();
        let mut body = b"before".to_vec();
        let how = codecs.compress(hint, plain, &mut body).unwrap();
        assert_eq!(how.0, expected);
        let mut out = vec![9; 3];
        codecs.decompress("test", how, &body[6..], plain.len(), &mut out).unwrap();
        assert_eq!(out, plain);
        assert!(codecs.decompress("test", how, &body[6..], plain.len() + 1, &mut out).is_err());
        if !plain.is_empty() {
            assert!(codecs.decompress("test", how, &body[6..], plain.len() - 1, &mut out).is_err());
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_lengths_are_exact() {
        let mut noise = vec![0; 5000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        check(Hint::Plain, b"", Codec::Stored);
        check(Hint::Plain, b"short", Codec::Stored);
        check(Hint::Plain, &noise, Codec::Stored);
        check(Hint::Plain, &[7; 5000], Codec::Zstd);
        let object = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"b"}}"#;
        check(Hint::SmallJson, object, Codec::ZstdDictionary);
        check(Hint::JsonBundle, &object.repeat(50), Codec::ZstdDictionary);
    }

    /// What random text in Secrets costs beyond its own information, six bits a letter, is what bundles have a setting for.
    #[test]
    fn a_bundle_of_secrets_is_smaller_than_with_the_settings_of_single_objects() {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut noise = vec![0; 120_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut bundle = Vec::new();
        for (number, value) in noise.chunks(1200).enumerate() {
            let value: String = value.iter().map(|byte| char::from(LETTERS[usize::from(byte % 64)])).collect();
            let head = format!(
                r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"app-{number}","namespace":"team-1"}}"#
            );
            bundle.extend_from_slice(format!(r#"{head},"data":{{"tls.crt":"{value}"}},"type":"Opaque"}}"#).as_bytes());
        }
        let mut codecs = Codecs::new(DEFAULT_LEVEL).unwrap();
        let mut stored = |hint| {
            let mut body = Vec::new();
            codecs.compress(hint, &bundle, &mut body).unwrap();
            body.len()
        };
        let (single, together) = (stored(Hint::SmallJson), stored(Hint::JsonBundle));
        let information = noise.len() * 6 / 8;
        assert!(together < single && together < information * 103 / 100, "{information}: {single}, {together}");
    }

    #[test]
    fn an_unknown_dictionary_is_an_error() {
        let mut codecs = Codecs::new(DEFAULT_LEVEL).unwrap();
        assert!(codecs.decompress("test", (Codec::ZstdDictionary, 77), b"x", 1, &mut Vec::new()).is_err());
    }

    #[test]
    fn dictionaries_never_change() {
        let hash = crate::ids::to_hex(&crate::crypto::stored_hash(Dictionary::KubernetesJson.bytes()));
        assert_eq!(hash, include_str!("dictionaries/kubernetes-json-1.blake3").trim());
    }
}

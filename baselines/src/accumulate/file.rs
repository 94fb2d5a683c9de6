//! A folder of accumulated maps: one gray PNG per image and class, and a file that says how far it is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Encoder, EncodingError};
use serde::{Deserialize, Serialize};

use crate::accumulate::map::AttentionMap;
use crate::data::{read_gray_image, write_atomic};
use crate::error::{Error, Result};

/// Where the map of a foreground class of an image is: `NAME_CLASS.png`, the class from 0.
pub fn attention_path(folder: &Path, name: &str, class: usize) -> PathBuf {
    folder.join(format!("{name}_{class}.png"))
}

/// Writes a map as an 8 bit gray PNG, whole or not at all.
///
/// # Errors
/// When the data does not fill the size, or writing fails.
pub fn write_attention(path: &Path, map: &AttentionMap) -> Result<()> {
    write_atomic(path, |file| encode(file, map))
}

fn encode(file: &mut dyn Write, map: &AttentionMap) -> io::Result<()> {
    let size = |cells: usize| u32::try_from(cells).map_err(io::Error::other);
    let into_io = |err| match err {
        EncodingError::IoError(err) => err,
        err => io::Error::other(err),
    };
    let mut encoder = Encoder::new(file, size(map.width)?, size(map.height)?);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let mut png = encoder.write_header().map_err(into_io)?;
    png.write_image_data(&map.data).map_err(into_io)?;
    png.finish().map_err(into_io)
}

/// Reads a map.
///
/// # Errors
/// When the file is missing, damaged, or no image.
pub fn read_attention(path: &Path) -> Result<AttentionMap> {
    let image = read_gray_image(path)?;
    Ok(AttentionMap { width: image.width() as usize, height: image.height() as usize, data: image.into_raw() })
}

/// How far the accumulation in a folder is; in the file `accumulated.json` there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionInfo {
    /// Epochs of training behind the newest maps.
    pub epochs: usize,
    /// Whether every class of every image has a map.
    pub filled: bool,
}

impl AttentionInfo {
    /// Of a folder; `None` when nothing is accumulated there.
    ///
    /// # Errors
    /// When the file is unreadable.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = info_path(folder);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).map_err(|err| Error::data(&path, err.to_string()))?)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(Error::io(&path)(err)),
        }
    }

    /// As [`Self::read`], of a folder that must have been accumulated in.
    ///
    /// # Errors
    /// When the file is missing or unreadable.
    pub fn expect(folder: &Path) -> Result<Self> {
        let reason = "expected a folder of accumulated attention maps, there is no such file";
        Self::read(folder)?.ok_or_else(|| Error::data(info_path(folder), reason))
    }

    /// Writes it into a folder, whole or not at all.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = info_path(folder);
        let text = serde_json::to_string(self).map_err(|err| Error::data(&path, err.to_string()))?;
        write_atomic(&path, |file| writeln!(file, "{text}"))
    }
}

fn info_path(folder: &Path) -> PathBuf {
    folder.join("accumulated.json")
}

//! JPEG and PNG files to pixels, every defect an error that names the file.

use std::io::{Cursor, ErrorKind};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use crate::error::{Error, Result};

/// The most pixels of an image that is read: a header can claim more than any memory holds.
pub(crate) const MAX_PIXELS: u64 = 1 << 26;

/// Reads a JPEG or PNG image as RGB. Transparency is dropped, 16 bit are brought to 8, a camera's note on how it was held
/// (EXIF orientation) is not followed: the released code and its labels do not either.
///
/// # Errors
/// When the file is missing, of another format, damaged, cut short, or claims more than 2^26 pixels. Damage in the midst
/// of a JPEG's pixels goes unseen, as JPEG has no checksum.
pub fn read_rgb_image(path: impl AsRef<Path>) -> Result<RgbImage> {
    Ok(decode(path.as_ref())?.into_rgb8())
}

/// Reads a JPEG or PNG image as gray levels.
///
/// # Errors
/// As [`read_rgb_image`].
pub fn read_gray_image(path: impl AsRef<Path>) -> Result<GrayImage> {
    Ok(decode(path.as_ref())?.into_luma8())
}

/// Width and height of an image, from its header.
pub(super) fn image_size(path: &Path) -> Result<(usize, usize)> {
    let bytes = read_file(path, "a JPEG or PNG image")?;
    let (width, height) = reader(path, &bytes)?
        .into_decoder()
        .map_err(|err| Error::data(path, format!("cannot be decoded: {err}")))?
        .dimensions();
    Ok((width as usize, height as usize))
}

/// Fails when the header of an image file claims more pixels than are read.
pub(super) fn check_pixels(path: &Path, (width, height): (u32, u32)) -> Result<()> {
    if u64::from(width) * u64::from(height) <= MAX_PIXELS {
        return Ok(());
    }
    Err(too_large(path, &format!("{width} x {height} (width x height)")))
}

fn too_large(path: &Path, size: &str) -> Error {
    Error::data(path, format!("expected at most {MAX_PIXELS} pixels, the header says {size}"))
}

/// The bytes of a file, a missing one named by what it should have been.
pub(super) fn read_file(path: &Path, expected: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|err| match err.kind() {
        ErrorKind::NotFound => Error::data(path, format!("expected {expected}, there is no such file")),
        _ => Error::io(path)(err),
    })
}

fn decode(path: &Path) -> Result<DynamicImage> {
    let bytes = read_file(path, "a JPEG or PNG image")?;
    let reader = reader(path, &bytes)?;
    // The decoder fills what a cut file lacks with gray, without a word.
    if reader.format() == Some(ImageFormat::Jpeg) && !ends_jpeg(&bytes) {
        return Err(Error::data(
            path,
            format!("the JPEG is cut short: no end-of-image marker in its {} bytes", bytes.len()),
        ));
    }
    let undecodable = |err: ImageError| match err {
        ImageError::Limits(_) => too_large(path, "more"),
        err => Error::data(path, format!("cannot be decoded: {err}")),
    };
    let decoder = reader.into_decoder().map_err(undecodable)?;
    check_pixels(path, decoder.dimensions())?;
    DynamicImage::from_decoder(decoder).map_err(undecodable)
}

fn reader<'a>(path: &Path, bytes: &'a [u8]) -> Result<ImageReader<Cursor<&'a [u8]>>> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(Error::io(path))?;
    match reader.format() {
        Some(ImageFormat::Jpeg | ImageFormat::Png) => Ok(reader),
        Some(other) => Err(Error::data(path, format!("expected a JPEG or PNG image, is {other:?}"))),
        None => Err(Error::data(path, format!("expected a JPEG or PNG image, its {} bytes are neither", bytes.len()))),
    }
}

const END_OF_IMAGE: u8 = 0xD9;

/// Whether a JPEG has its end-of-image marker.
///
/// Walks the segments, so that the marker of an embedded preview is not taken for the image's own.
fn ends_jpeg(jpeg: &[u8]) -> bool {
    let mut at = 2; // behind the start-of-image marker
    while let Some(found) = jpeg.get(at..).and_then(|rest| rest.windows(2).position(is_marker)) {
        at += found + 2;
        match jpeg[at - 1] {
            END_OF_IMAGE => return true,
            // Restart markers and their like carry nothing.
            0x01 | 0xD0..=0xD8 => {}
            _ => {
                let Some(length) = jpeg.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
    false
}

fn is_marker(pair: &[u8]) -> bool {
    // FF 00 is a data byte, FF FF is padding.
    pair[0] == 0xFF && pair[1] != 0x00 && pair[1] != 0xFF
}

//! Small encoded pictures, ready to stand inside a page.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candle_wsss::Error;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageFormat, RgbImage};

use crate::error::Result;

/// Quality of photographs, of 100: no blocks to be seen at the size of a report.
const JPEG_QUALITY: u8 = 82;

/// What the pictures of a page may have together, in bytes of a page that can still be sent by mail.
const PAGE_BYTES: f64 = 2.0e6;
/// A pixel of a small photograph with something drawn on it, as JPEG in base64: measured on VOC's at 190 pixels.
const BYTES_PER_PIXEL: f64 = 0.5;
/// Sides of the pictures of a page: fewer pixels show nothing, more are not needed.
const SIDES: [f64; 2] = [112.0, 256.0];

/// Longest side that lets so many pictures into a page, in pixels.
pub(crate) fn side_for(pictures: usize) -> u32 {
    let pixels = PAGE_BYTES / BYTES_PER_PIXEL / pictures.max(1) as f64;
    // Photographs of 4 to 3.
    (pixels * 4.0 / 3.0).sqrt().clamp(SIDES[0], SIDES[1]) as u32
}

/// Width and height of an image made no longer than `max_side`, which keeps its shape.
pub(crate) fn fitted((width, height): (u32, u32), max_side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= max_side {
        return (width, height);
    }
    let side = |len: u32| (f64::from(len) * f64::from(max_side) / f64::from(longest)).round().max(1.0) as u32;
    (side(width), side(height))
}

/// How a picture is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PictureFormat {
    /// Exact colours; the size of a photograph is five to ten times that of JPEG.
    #[default]
    Png,
    /// Photographs.
    Jpeg,
}

/// An encoded picture and its size in pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    format: PictureFormat,
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl Picture {
    /// Encodes an image, made smaller first if a side is longer than `max_side`.
    ///
    /// # Errors
    /// When the image is empty.
    pub fn encode(image: &RgbImage, max_side: u32, format: PictureFormat) -> Result<Self> {
        let size = (image.width(), image.height());
        let (width, height) = fitted(size, max_side);
        let small =
            (size != (width, height)).then(|| image::imageops::resize(image, width, height, FilterType::Triangle));
        let image = small.as_ref().unwrap_or(image);
        let mut bytes = Vec::new();
        let written = match format {
            PictureFormat::Png => image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png),
            PictureFormat::Jpeg => image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)),
        };
        written.map_err(|err| Error::value("picture", err.to_string()))?;
        Ok(Self { format, width: image.width(), height: image.height(), bytes })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The encoded file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file as a URL that holds it.
    pub fn data_url(&self) -> String {
        let kind = match self.format {
            PictureFormat::Png => "png",
            PictureFormat::Jpeg => "jpeg",
        };
        format!("data:image/{kind};base64,{}", STANDARD.encode(&self.bytes))
    }
}

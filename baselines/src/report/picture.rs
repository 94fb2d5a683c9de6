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
const JPEG_QUALITY: u8 = 88;

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
        let longest = image.width().max(image.height());
        let small = (longest > max_side).then(|| {
            let side = |len: u32| (f64::from(len) * f64::from(max_side) / f64::from(longest)).round().max(1.0) as u32;
            image::imageops::resize(image, side(image.width()), side(image.height()), FilterType::Triangle)
        });
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

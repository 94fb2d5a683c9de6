//! Masks as palette PNG files in VOC's colours.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Encoder, EncodingError, Transformations};

use crate::data::atomic::write_atomic;
use crate::data::decode::{check_pixels, read_file};
use crate::data::mask::Mask;
use crate::error::{Error, Result};

/// VOC's colours: the bits of the index dealt out to red, green and blue, highest bit first.
///
/// ```
/// use candle_wsss_baselines::data::color_map;
///
/// let colors = color_map();
/// assert_eq!(colors[0], [0, 0, 0]);
/// assert_eq!(colors[1], [128, 0, 0]); // aeroplane
/// assert_eq!(colors[15], [192, 128, 128]); // person
/// assert_eq!(colors[255], [224, 224, 192]); // void
/// ```
pub fn color_map() -> [[u8; 3]; 256] {
    let mut colors = [[0u8; 3]; 256];
    for (color, index) in colors.iter_mut().zip(0u8..=255) {
        let mut rest = index;
        for bit in (0..8).rev() {
            // Three bits of the index at a time, one to each channel.
            for (channel, value) in color.iter_mut().enumerate() {
                *value |= ((rest >> channel) & 1) << bit;
            }
            rest >>= 3;
        }
    }
    colors
}

/// Writes a mask as an 8 bit palette PNG, whole or not at all.
///
/// # Errors
/// When the data does not fill the size, or writing fails.
pub fn write_mask(path: impl AsRef<Path>, mask: &Mask) -> Result<()> {
    let path = path.as_ref();
    check_len(path, mask)?;
    write_atomic(path, |file| write_indexed_png(file, mask))
}

/// Encodes a mask as an 8 bit palette PNG.
///
/// # Errors
/// Those of `writer`, and when the data does not fill the size.
pub fn write_indexed_png(writer: &mut dyn Write, mask: &Mask) -> io::Result<()> {
    let size = |pixels: usize| u32::try_from(pixels).map_err(io::Error::other);
    let mut encoder = Encoder::new(writer, size(mask.width)?, size(mask.height)?);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(color_map().concat());
    let into_io = |err| match err {
        EncodingError::IoError(err) => err,
        err => io::Error::other(err),
    };
    let mut png = encoder.write_header().map_err(into_io)?;
    png.write_image_data(&mask.data).map_err(into_io)?;
    png.finish().map_err(into_io)
}

/// Reads a mask: the indices of an 8 bit palette PNG (whatever its colours), or the values of an 8 bit gray one.
///
/// Palette files of fewer bits, which some tools write for few classes, are read as well, and so are files of colours
/// if every one of them is a colour of VOC's palette, whose index it then stands for.
///
/// # Errors
/// When the file is missing, damaged, claims more than 2^26 pixels, or is of another kind: other colours are not labels.
pub fn read_mask(path: impl AsRef<Path>) -> Result<Mask> {
    let path = path.as_ref();
    let bytes = read_file(path, "a mask")?;
    let bad = |err: png::DecodingError| Error::data(path, format!("expected a palette PNG: {err}"));
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(bad)?;
    let (color, depth) = (reader.info().color_type, reader.info().bit_depth);
    if !is_readable(color, depth) {
        let is = format!("{} bit {}", depth as u8, color_name(color));
        return Err(Error::data(
            path,
            format!("expected an 8 bit palette or gray PNG, or one in VOC's colours; is {is}"),
        ));
    }
    check_pixels(path, reader.info().size())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let len = reader.output_buffer_size().ok_or_else(|| Error::data(path, "too large to read"))?;
    let mut packed = vec![0; len];
    let frame = reader.next_frame(&mut packed).map_err(bad)?;
    reader.finish().map_err(bad)?;
    let data = match color {
        ColorType::Indexed | ColorType::Grayscale => unpack(&packed, width, height, frame.line_size, depth as usize),
        _ => indices(&packed, color.samples()).map_err(|(at, is)| {
            let (x, y) = (at % width, at / width);
            let expected = "expected a palette or gray PNG of values, or one in VOC's colours";
            Error::data(path, format!("pixel ({x}, {y}) {is}; {expected}"))
        })?,
    };
    Ok(Mask { width, height, data })
}

fn is_readable(color: ColorType, depth: BitDepth) -> bool {
    match color {
        ColorType::Indexed => true,
        ColorType::Grayscale | ColorType::Rgb | ColorType::Rgba => depth == BitDepth::Eight,
        ColorType::GrayscaleAlpha => false,
    }
}

// The index of every colour; else the first pixel without one, and what it is.
fn indices(pixels: &[u8], samples: usize) -> Result<Vec<u8>, (usize, String)> {
    let known: BTreeMap<[u8; 3], u8> = color_map().into_iter().zip(0..=255).collect();
    let mut last = ([0; 3], 0);
    let index_of = |(at, pixel): (usize, &[u8])| {
        let color = [pixel[0], pixel[1], pixel[2]];
        if pixel.get(3).is_some_and(|opacity| *opacity != u8::MAX) {
            return Err((at, "is transparent".to_string()));
        }
        // Neighbours mostly have the same.
        if color != last.0 {
            let [red, green, blue] = color;
            let none =
                || (at, format!("has the colour ({red}, {green}, {blue}), which stands for no value in VOC's palette"));
            last = (color, *known.get(&color).ok_or_else(none)?);
        }
        Ok(last.1)
    };
    pixels.chunks_exact(samples).enumerate().map(index_of).collect()
}

fn unpack(packed: &[u8], width: usize, height: usize, line: usize, bits: usize) -> Vec<u8> {
    if bits == 8 && line == width {
        return packed[..width * height].to_vec();
    }
    let pick = |row: &[u8], x: usize| {
        let bit = x * bits;
        (row[bit / 8] >> (8 - bits - bit % 8)) & (0xFF >> (8 - bits))
    };
    packed.chunks_exact(line).take(height).flat_map(|row| (0..width).map(move |x| pick(row, x))).collect()
}

fn color_name(color: ColorType) -> &'static str {
    match color {
        ColorType::Grayscale => "gray",
        ColorType::Rgb => "RGB",
        ColorType::Indexed => "palette",
        ColorType::GrayscaleAlpha => "gray with transparency",
        ColorType::Rgba => "RGB with transparency",
    }
}

fn check_len(path: &Path, mask: &Mask) -> Result<()> {
    if mask.data.len() == mask.width * mask.height {
        return Ok(());
    }
    let reason = format!("expected {} x {} values to write, got {}", mask.width, mask.height, mask.data.len());
    Err(Error::data(path, reason))
}

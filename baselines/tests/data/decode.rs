//! Files of every kind: read as Pillow reads them, or refused with one clear error.

use candle_wsss_baselines::data::{read_gray_image, read_mask, read_rgb_image};
use image::{ImageBuffer, Luma, Rgb, RgbImage};

use super::expected::Expected;
use super::scratch::Scratch;

fn with_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&std::path::Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read(&path)
}

/// The error of a file, without its path.
fn refusal(name: &str, bytes: &[u8]) -> String {
    with_file(name, bytes, |path| {
        let error = read_rgb_image(path).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let (text, prefix) = (error.to_string(), format!("{}: ", path.display()));
        text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text} does not name the file")).to_string()
    })
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn every_kind_is_read_as_pillow_reads_it() {
    let files = Expected::of("13_0").files;
    assert!(files.len() >= 9);
    for file in files {
        let got = with_file(&file.file, &file.data(), |path| read_rgb_image(path).unwrap());
        // Of the picture as stored, not as a camera was held.
        assert_eq!(<[u32; 2]>::from(got.dimensions()), file.size, "{}", file.file);
        let farthest = got.as_raw().iter().zip(file.rgb()).map(|(got, expected)| got.abs_diff(expected)).max();
        // Two JPEG decoders round differently, and stretch halved colours differently.
        let allowed = if file.file.ends_with(".png") {
            0
        } else if file.file.starts_with("halved") {
            40
        } else {
            6
        };
        assert!(farthest.unwrap() <= allowed, "{}: a value is off by {farthest:?}", file.file);
    }
}

#[test]
fn sixteen_bit_are_brought_to_eight() {
    let image = ImageBuffer::<Luma<u16>, _>::from_fn(3, 1, |x, _| Luma([[0u16, 0x8080, 0xFFFF][x as usize]]));
    let scratch = Scratch::new(1);
    let path = scratch.path("deep.png");
    image.save(&path).unwrap();
    assert_eq!(read_gray_image(&path).unwrap().into_raw(), [0, 0x80, 0xFF]);
    assert_eq!(read_rgb_image(&path).unwrap().get_pixel(1, 0), &Rgb([0x80; 3]));
}

#[test]
fn what_is_no_image_is_named() {
    assert_eq!(refusal("a.jpg", b""), "expected a JPEG or PNG image, its 0 bytes are neither");
    assert_eq!(refusal("a.jpg", b"GIF89a\x01\0\x01\0"), "expected a JPEG or PNG image, is Gif");
    assert_eq!(refusal("a.jpg", b"RIFF\x24\0\0\0WEBPVP8 "), "expected a JPEG or PNG image, is WebP");
    assert_eq!(refusal("a.png", b"<html>"), "expected a JPEG or PNG image, its 6 bytes are neither");
}

#[test]
fn a_png_with_a_wrong_checksum_is_refused() {
    let good = png(&RgbImage::from_fn(20, 10, |x, y| Rgb([x as u8 * 9, y as u8 * 7, 3])));
    let start = good.windows(4).position(|bytes| bytes == b"IDAT").unwrap() + 4;
    let end = good.windows(4).position(|bytes| bytes == b"IEND").unwrap() - 4;
    // The data and its checksum, which are all between the two names.
    for at in start..end {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let message = refusal("a.png", &bad);
        assert!(message.starts_with("cannot be decoded: "), "{message}");
    }
}

#[test]
fn absurd_sizes_in_a_header_are_refused_before_memory_is_taken() {
    let bytes = png_claiming(0x7FFF_FFFF, 2);
    assert_eq!(refusal("a.png", &bytes), "expected at most 67108864 pixels, the header says more");
    // Masks have readers of their own; palette, gray and colour.
    for kind in [3, 0, 2] {
        let text = with_file("a.png", &png_claiming(60_000, kind), |path| read_mask(path).unwrap_err().to_string());
        let expected = "a.png: expected at most 67108864 pixels, the header says 60000 x 60000 (width x height)";
        assert!(text.ends_with(expected), "{text}");
    }
    let text = with_file("a.png", &png_claiming(12_000, 0), |path| read_gray_image(path).unwrap_err().to_string());
    assert!(
        text.ends_with("expected at most 67108864 pixels, the header says 12000 x 12000 (width x height)"),
        "{text}"
    );
    // A JPEG's sides have 16 bit.
    let files = Expected::of("13_0").files;
    let mut bytes = files.iter().find(|file| file.file == "rotated.jpg").unwrap().data();
    let frame = bytes.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let message = refusal("a.jpg", &bytes);
    let expected = "expected at most 67108864 pixels, the header says 65500 x 65500 (width x height)";
    assert_eq!(message, expected);
}

/// A PNG of 8 bits that ends behind a header with its checksum, which claims a square of so many pixels a side.
fn png_claiming(side: u32, color_type: u8) -> Vec<u8> {
    let chunk = |name: &[u8; 4], content: &[u8]| {
        let named = [&name[..], content].concat();
        let mut crc = u32::MAX;
        for byte in &named {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 });
        }
        [&(content.len() as u32).to_be_bytes()[..], &named, &(!crc).to_be_bytes()].concat()
    };
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, color_type, 0, 0, 0]].concat();
    let palette = if color_type == 3 { chunk(b"PLTE", &[0; 6]) } else { Vec::new() };
    let start = b"\x89PNG\r\n\x1a\n".to_vec();
    [start, chunk(b"IHDR", &header), palette, b"\0\0\0\x04IDATabcd".to_vec()].concat()
}

#[test]
fn no_damage_panics() {
    let mut damaged = 0;
    for file in Expected::of("13_0").files {
        if !["progressive.jpg", "cmyk.jpg", "palette.png"].contains(&file.file.as_str()) {
            continue;
        }
        let good = file.data();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(&file.file);
        let mut read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
            read_rgb_image(&path).is_ok()
        };
        // Behind the name of a PNG's last chunk there is its checksum only, which nobody needs.
        let needed = good.len() - if file.file.ends_with(".png") { 4 } else { 0 };
        for len in 0..needed {
            assert!(!read(&good[..len]), "{}: {len} of {} bytes pass for the image", file.file, good.len());
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            read(&bad);
        }
    }
    assert!(damaged > 1000, "{damaged}");
}

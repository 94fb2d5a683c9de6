use std::fs;

use candle_wsss_baselines::data::{Mask, color_map, read_mask, write_atomic, write_mask};
use image::GrayImage;

fn every_value() -> Mask {
    Mask { width: 32, height: 8, data: (0..=255).collect() }
}

#[test]
fn masks_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    write_mask(&path, &every_value()).unwrap();
    assert_eq!(read_mask(&path).unwrap(), every_value());
    // Seen with VOC's colours by whoever opens the file as a picture.
    let picture = image::open(&path).unwrap().into_rgb8();
    assert!(picture.pixels().zip(color_map()).all(|(pixel, color)| pixel.0 == color));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn colors_are_vocs() {
    let colors = color_map();
    let known = [(2, [0, 128, 0]), (4, [0, 0, 128]), (8, [64, 0, 0]), (9, [192, 0, 0]), (20, [0, 64, 128])];
    for (index, color) in known {
        assert_eq!(colors[index], color, "{index}");
    }
}

#[test]
fn gray_masks_are_taken_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    GrayImage::from_raw(32, 8, (0..=255).collect()).unwrap().save(&path).unwrap();
    assert_eq!(read_mask(&path).unwrap(), every_value());
}

#[test]
fn palettes_of_few_bits_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    // Five pixels a row: rows end within a byte.
    for (depth, bits, packed, data) in [
        (png::BitDepth::One, 1, vec![0b1011_0000, 0b0000_1000], [1, 0, 1, 1, 0, 0, 0, 0, 0, 1]),
        (png::BitDepth::Two, 2, vec![0b0001_1011, 0b1000_0000, 0, 0b0100_0000], [0, 1, 2, 3, 2, 0, 0, 0, 0, 1]),
        (png::BitDepth::Four, 4, vec![0x12, 0x3F, 0x50, 0, 0, 0x70], [1, 2, 3, 15, 5, 0, 0, 0, 0, 7]),
    ] {
        let mut encoder = png::Encoder::new(fs::File::create(&path).unwrap(), 5, 2);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(depth);
        encoder.set_palette(color_map()[..1 << bits].concat());
        encoder.write_header().unwrap().write_image_data(&packed).unwrap();
        assert_eq!(read_mask(&path).unwrap().data, data, "{bits} bit");
    }
}

#[test]
fn a_mask_that_does_not_fill_its_size_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let error = write_mask(&path, &Mask { width: 3, height: 2, data: vec![0; 5] }).unwrap_err().to_string();
    assert!(error.ends_with("mask.png: expected 3 x 2 values to write, got 5"), "{error}");
    assert!(!path.exists());
}

#[test]
fn atomic_writing_replaces_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    write_atomic(&path, |file| file.write_all(b"old and long")).unwrap();
    write_atomic(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let lost = write_atomic(&path, |_| panic_free_failure()).unwrap_err();
    assert!(lost.to_string().ends_with("state: full"), "{lost}");
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = write_atomic(folder.path().join("no/folder"), |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("no/folder: "), "{error}");
}

#[cfg(unix)]
#[test]
fn atomic_files_are_as_readable_as_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    write_atomic(folder.path().join("atomic"), |_| Ok(())).unwrap();
    fs::write(folder.path().join("plain"), b"").unwrap();
    assert_eq!(mode("atomic"), mode("plain"));
}

fn panic_free_failure() -> std::io::Result<()> {
    Err(std::io::Error::other("full"))
}

//! Bytes nobody meant: an error or a value, never a panic.

use std::fs;

use candle_wsss_baselines::data::{DataSource, Dataset, ImageSet, Survey, read_mask};

use super::scratch::Scratch;

/// Every prefix of a file, and the file with every byte turned in three ways.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    let turned = (0..bytes.len()).flat_map(move |at| {
        [0x01, 0x80, 0xFF].map(|flip| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= flip;
            bytes
        })
    });
    cut.chain(turned)
}

fn spoil(scratch: &Scratch, file: &str, source: &DataSource) {
    let bytes = fs::read(scratch.path(file)).unwrap();
    for bytes in damaged(&bytes) {
        fs::write(scratch.path(file), &bytes).unwrap();
        if let Err(error) = ImageSet::open_from(source) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    fs::write(scratch.path(file), &bytes).unwrap();
    assert!(ImageSet::open_from(source).is_ok());
}

#[test]
fn texts() {
    let voc = Scratch::new(2);
    voc.text("ImageSets/Segmentation/train.txt", "/JPEGImages/a0.jpg /x/a0.png\na1\n");
    voc.text("Annotations/a1.xml", "<annotation><object><name>bee</name></object></annotation>");
    for file in ["classes.txt", "ImageSets/Segmentation/train.txt", "Annotations/a1.xml"] {
        spoil(&voc, file, &voc.source("train"));
    }
    let folder = Scratch::folder(2);
    for csv in ["image,labels\n\"a0\",ant;bee\na1,cat\n", "id;ant;bee;cat;split\na0;1;0;0;train\na1;0;1;1;train\n"] {
        folder.text("labels.csv", csv);
        spoil(&folder, "labels.csv", &folder.source("train"));
    }
}

#[test]
fn masks() {
    let scratch = Scratch::new(1);
    let file = scratch.path("SegmentationClass/a0.png");
    let bytes = fs::read(&file).unwrap();
    let palette = damaged(&bytes).step_by(7);
    image::RgbImage::new(3, 2).save(&file).unwrap();
    let colours = fs::read(&file).unwrap();
    for bytes in palette.chain(damaged(&colours)) {
        fs::write(&file, bytes).unwrap();
        if let Ok(mask) = read_mask(&file) {
            assert_eq!(mask.data.len(), mask.width * mask.height);
        }
    }
}

#[test]
fn surveys() {
    let scratch = Scratch::new(2);
    for file in ["JPEGImages/a0.png", "saliency/a1.png", "SegmentationClass/a0.png"] {
        let bytes = fs::read(scratch.path(file)).unwrap();
        for bytes in damaged(&bytes).step_by(97) {
            fs::write(scratch.path(file), &bytes).unwrap();
            let check = Survey::open(&scratch.source("train")).unwrap().run(&|| {});
            assert_eq!(check.images.listed, 2);
        }
        fs::write(scratch.path(file), bytes).unwrap();
    }
    assert!(Dataset::open(scratch.root(), "train").is_ok());
}

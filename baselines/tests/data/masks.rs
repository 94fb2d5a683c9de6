//! Which masks a data set is evaluated on, and where saliency is.

use std::path::{Path, PathBuf};

use candle_wsss_baselines::data::{DataSource, Dataset, Mask, color_map, read_mask, write_mask};
use image::{GrayImage, RgbImage};

use super::scratch::{Scratch, assert_data_error};

fn masks(source: DataSource, folder: impl AsRef<Path>) -> DataSource {
    DataSource { masks: Some(folder.as_ref().to_path_buf()), ..source }
}

/// A mask of one value for image `a0`.
fn flat(scratch: &Scratch, file: &str, value: u8) {
    scratch.write(file, |path| write_mask(path, &Mask { width: 24, height: 20, data: vec![value; 480] }).unwrap());
}

#[test]
fn the_augmented_split_has_the_augmented_masks() {
    let scratch = Scratch::new(1);
    flat(&scratch, "SegmentationClassAug/a0.png", 3);
    flat(&scratch, "other/a0.png", 2);
    scratch.text("ImageSets/Segmentation/trainaug.txt", "a0\n");
    scratch.text("elsewhere/train_aug_id.txt", "a0\n");
    let of = |source: DataSource| {
        let set = Dataset::open_from(&source).unwrap();
        (set.mask_source(), set.mask(0).unwrap().data[400])
    };
    assert_eq!(of(scratch.source("train")), ("SegmentationClass".to_string(), 0));
    for split in ["trainaug", "train_aug", "elsewhere/train_aug_id.txt"] {
        assert_eq!(of(scratch.source(split)), ("SegmentationClassAug".to_string(), 3), "{split}");
    }
    assert_eq!(of(masks(scratch.source("trainaug"), "SegmentationClass")).1, 0);
    assert_eq!(of(masks(scratch.source("train"), "other")), ("other".to_string(), 2));
    let absolute = scratch.path("other");
    assert_eq!(of(masks(scratch.source("train"), absolute)).1, 2);
    let missing = masks(scratch.source("train"), "none");
    let message = "expected the folder of masks, there is no such folder";
    assert_data_error(&scratch, Dataset::open_from(&missing), "none", message);
    assert!(Dataset::open_images_from(&missing).is_ok(), "training does not look at masks");
    scratch.remove_all("SegmentationClassAug");
    assert_eq!(of(scratch.source("trainaug")).1, 0);
}

#[test]
fn masks_of_vocs_images_beyond_vocs_lists_are_told_apart() {
    let scratch = Scratch::new(3);
    let names = ["2007_000032", "2007_000039", "2011_000003"];
    for (i, name) in names.into_iter().enumerate() {
        for (folder, extension) in [("JPEGImages", "png"), ("Annotations", "xml"), ("SegmentationClass", "png")] {
            scratch.rename(&format!("{folder}/a{i}.{extension}"), &format!("{folder}/{name}.{extension}"));
        }
    }
    let title =
        |split: &str, folder: &str| Dataset::open_from(&masks(scratch.source(split), folder)).unwrap().mask_source();
    scratch.text("ImageSets/Segmentation/trainaug.txt", &names.join("\n"));
    scratch.remove("ImageSets/Segmentation/train.txt");
    assert_eq!(title("trainaug", "SegmentationClass"), "SegmentationClass");
    scratch.text("ImageSets/Segmentation/train.txt", "/JPEGImages/2007_000032.jpg x\n");
    scratch.text("ImageSets/Segmentation/val.txt", "2007_000039\n");
    let sbd = "SegmentationClass (2 of 3 in VOC's own lists, the rest SBD)";
    assert_eq!(title("trainaug", "SegmentationClass"), sbd);
    assert_eq!(title("train", "SegmentationClass"), "SegmentationClass");
    scratch.rename("SegmentationClass", "SegmentationClassAug");
    assert_eq!(title("val", "SegmentationClassAug"), "SegmentationClassAug (all 1 in VOC's own lists)");
    assert_eq!(title("trainaug", "SegmentationClassAug"), sbd.replace("Class ", "ClassAug "));
}

#[test]
fn colours_of_vocs_palette_are_read_as_its_indices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let colors = color_map();
    RgbImage::from_fn(32, 8, |x, y| image::Rgb(colors[(y * 32 + x) as usize])).save(&path).unwrap();
    let every: Vec<u8> = (0..=255).collect();
    assert_eq!(read_mask(&path).unwrap(), Mask { width: 32, height: 8, data: every.clone() });
    let opaque = |x: u32, y: u32| {
        let [red, green, blue] = colors[(y * 32 + x) as usize];
        image::Rgba([red, green, blue, 255])
    };
    image::RgbaImage::from_fn(32, 8, opaque).save(&path).unwrap();
    assert_eq!(read_mask(&path).unwrap().data, every);
}

#[test]
fn saliency_may_be_elsewhere_and_jpeg() {
    let scratch = Scratch::new(2);
    scratch.write("drs/a0.jpg", |path| GrayImage::from_pixel(24, 20, image::Luma([90])).save(path).unwrap());
    let source = DataSource { saliency: Some(PathBuf::from("drs")), ..scratch.source("train") };
    let set = Dataset::open_from(&source).unwrap();
    assert_eq!(set.saliency(0).unwrap().unwrap().get_pixel(5, 5)[0], 90);
    assert!(set.saliency(1).unwrap().is_none());
    assert!(set.images().saliency_path(0).ends_with("drs/a0.jpg"));
    assert!(set.images().saliency_path(1).ends_with("drs/a1.png"));
    let source = DataSource { saliency: Some(PathBuf::from("none")), ..scratch.source("train") };
    let message = "expected the folder of saliency maps, there is no such folder";
    assert_data_error(&scratch, Dataset::open_from(&source), "none", message);
}

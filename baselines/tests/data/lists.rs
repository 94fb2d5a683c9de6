//! Lists of images: the forms that circulate, and both names of the augmented one.

use std::fs;

use candle_wsss_baselines::data::{DataSource, Dataset, ImageSet};

use super::scratch::{Scratch, assert_data_error};

const TRAIN: &str = "ImageSets/Segmentation/train.txt";

fn names(source: &DataSource) -> Vec<String> {
    let set = ImageSet::open_from(source).unwrap();
    (0..set.len()).map(|i| set.name(i).to_string()).collect()
}

#[test]
fn lists_of_released_code_name_images_by_path() {
    let scratch = Scratch::new(3);
    for text in [
        "/JPEGImages/a2.jpg /SegmentationClassAug/a2.png\n\n/JPEGImages/a0.jpg /SegmentationClassAug/a0.png\n",
        "JPEGImages/a2.jpg SegmentationClassAug/a2.png\r\nJPEGImages/a0.jpg\r\n",
        "a2\n \t\na0",
        "\u{feff}a2.jpg\n  a0.PNG  \n",
    ] {
        scratch.text(TRAIN, text);
        assert_eq!(names(&scratch.source("train")), ["a2", "a0"], "{text:?}");
    }
}

#[test]
fn either_name_of_the_augmented_list_finds_the_other() {
    let scratch = Scratch::new(3);
    scratch.text("ImageSets/Segmentation/train_aug.txt", "a1\n");
    assert_eq!(names(&scratch.source("trainaug")), ["a1"]);
    scratch.text("ImageSets/Segmentation/trainaug.txt", "a2\n");
    assert_eq!(names(&scratch.source("trainaug")), ["a2"]);
    assert_eq!(names(&scratch.source("train_aug")), ["a1"]);
    scratch.remove("ImageSets/Segmentation/train_aug.txt");
    assert_eq!(names(&scratch.source("train_aug")), ["a2"]);
}

#[test]
fn a_list_may_be_anywhere() {
    let scratch = Scratch::new(3);
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("few.txt");
    fs::write(&path, "a1\n").unwrap();
    assert_eq!(names(&scratch.source(path.to_str().unwrap())), ["a1"]);
    scratch.text("lists/some.txt", "a2\n");
    assert_eq!(names(&scratch.source("lists/some.txt")), ["a2"]);
    assert_eq!(names(&scratch.source("train.txt")), ["a0", "a1", "a2"]);
    let error = ImageSet::open_from(&scratch.source("lists/none.txt")).unwrap_err();
    let message = "lists/none.txt: expected the list of split `lists/none.txt`, there is no such file";
    assert_eq!((error.to_string().as_str(), error.exit_code()), (message, 3));
}

#[test]
fn names_have_dots_spaces_and_any_letters() {
    let scratch = Scratch::new(3);
    let odd = ["img.v2", "two words", "Ürban (1)"];
    for (i, name) in odd.into_iter().enumerate() {
        for (folder, from, to) in
            [("JPEGImages", "png", "PNG"), ("Annotations", "xml", "xml"), ("SegmentationClass", "png", "png")]
        {
            scratch.rename(&format!("{folder}/a{i}.{from}"), &format!("{folder}/{name}.{to}"));
        }
    }
    scratch.text(TRAIN, &odd.join("\n"));
    assert_eq!(names(&scratch.source("train")), odd);
    let set = Dataset::open(scratch.root(), "train").unwrap();
    assert!((0..3).all(|i| set.image(i).is_ok() && set.mask(i).is_ok()));
}

#[test]
fn a_jpeg_is_preferred_to_other_images_of_its_name() {
    let scratch = Scratch::new(1);
    fs::copy(scratch.path("JPEGImages/a0.png"), scratch.path("JPEGImages/a0.jpeg")).unwrap();
    let set = ImageSet::open(scratch.root(), "train").unwrap();
    assert_eq!(set.image_path(0), scratch.path("JPEGImages/a0.jpeg"));
}

#[test]
fn text_that_is_none_is_told_by_its_line() {
    let scratch = Scratch::new(2);
    fs::write(scratch.path(TRAIN), b"a0\na\xe4\n").unwrap();
    let message = "line 2: expected UTF-8 text, byte 5 of the file is none";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), TRAIN, message);
    scratch.text(TRAIN, "a0\n");
    fs::write(scratch.path("classes.txt"), b"\xff\xfea\0n\0t\0").unwrap();
    let message = "line 1: expected UTF-8 text, byte 1 of the file is none";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), "classes.txt", message);
}

#[test]
fn folders_that_are_no_data_set() {
    let scratch = Scratch::new(1);
    scratch.remove_all("JPEGImages");
    let message = "expected the folder of the images, there is no such folder";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), "JPEGImages", message);
    let empty = tempfile::tempdir().unwrap();
    let error = || ImageSet::open(empty.path(), "train").unwrap_err().to_string();
    assert!(error().contains("expected a data set: PASCAL VOC's folders"), "{}", error());
    fs::create_dir_all(empty.path().join("VOCdevkit/VOC2012")).unwrap();
    assert!(error().contains("; there is one in ") && error().ends_with("VOCdevkit/VOC2012"), "{}", error());
}

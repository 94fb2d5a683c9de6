//! `cls_labels.npy` as the labels of a data set. The fixtures are made by `fixtures/make_labels.py`.

use std::fs;
use std::path::Path;

use candle_wsss_baselines::data::{DataSource, ImageSet, LabelSource};

use super::scratch::{Scratch, assert_data_error};

/// `a0`: ant; `a1`: bee, cat; `a2`: none. Three classes.
fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures").join(name)).unwrap()
}

fn scratch(file: &str, fixture_name: &str) -> Scratch {
    let scratch = Scratch::new(3);
    scratch.remove_all("Annotations");
    scratch.write(file, |path| fs::write(path, fixture(fixture_name)).unwrap());
    scratch
}

#[test]
fn is_found_in_its_usual_places() {
    for file in ["cls_labels.npy", "ImageSets/cls_labels.npy", "ImageSets/Segmentation/cls_labels.npy"] {
        let scratch = scratch(file, "cls_labels.npy");
        scratch.text("image_labels.csv", "id,labels\na0,cat\na1,cat\na2,cat\n");
        let set = ImageSet::open(scratch.root(), "train").unwrap();
        assert_eq!((0..3).map(|i| set.labels(i)).collect::<Vec<_>>(), [&[0][..], &[1, 2], &[]], "{file}");
        assert_eq!(set.label_source(), "cls_labels.npy");
    }
}

#[test]
fn vocs_names_may_be_numbers() {
    let scratch = scratch("voc12/cls_labels.npy", "integer_names.npy");
    scratch.rename("JPEGImages/a0.png", "JPEGImages/2007_000032.png");
    scratch.text("ImageSets/Segmentation/train.txt", "2007_000032\n");
    let labels = LabelSource::File("voc12/cls_labels.npy".into());
    let set = ImageSet::open_from(&DataSource { labels, ..scratch.source("train") }).unwrap();
    assert_eq!(set.labels(0), [0, 2]);
}

#[test]
fn columns_must_be_classes() {
    let scratch = scratch("cls_labels.npy", "cls_labels.npy");
    scratch.text("classes.txt", "ant\nbee\ncat\ndog\n");
    let message = "has 3 columns, expected one for each of the 4 classes of classes.txt";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), "cls_labels.npy", message);
    scratch.remove("classes.txt");
    let message = "has 3 columns, expected one for each of the 20 classes of VOC, there being no classes.txt";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), "cls_labels.npy", message);
    let folder = Scratch::folder(1);
    folder.remove("classes.txt");
    folder.remove("labels.csv");
    folder.write("cls_labels.npy", |path| fs::write(path, fixture("cls_labels.npy")).unwrap());
    let message = "has 3 columns without names; expected classes.txt with a name for each";
    assert_data_error(&folder, ImageSet::open(folder.root(), "train"), "cls_labels.npy", message);
}

#[test]
fn an_image_that_is_not_in_it() {
    let scratch = scratch("cls_labels.npy", "integer_names.npy");
    let message = "expected the labels of image `a0`, there are none";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), "cls_labels.npy", message);
}

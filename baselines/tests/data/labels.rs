//! Where image-level labels come from.

use candle_wsss_baselines::data::{DataSource, Dataset, ImageSet, LabelSource};

use super::scratch::{CLASSES, Scratch, assert_data_error};

fn with(source: DataSource, labels: &str) -> DataSource {
    DataSource { labels: labels.parse().unwrap(), ..source }
}

fn labels(source: &DataSource) -> (String, Vec<Vec<usize>>) {
    let set = ImageSet::open_from(source).unwrap();
    (set.label_source().to_string(), (0..set.len()).map(|i| set.labels(i).to_vec()).collect())
}

#[test]
fn annotations_come_first_then_a_table() {
    let scratch = Scratch::new(2);
    scratch.text("image_labels.csv", "id,ant,bee,cat\na0,0,0,1\na1,0,1,0\n");
    scratch.text("labels.csv", "id,ant,bee,cat\na0,1,0,1\na1,0,1,0\n");
    let train = scratch.source("train");
    assert_eq!(labels(&train), ("annotations (XML)".to_string(), vec![vec![0], vec![1, 2]]));
    let table = ("image_labels.csv".to_string(), vec![vec![2], vec![1]]);
    assert_eq!(labels(&with(train.clone(), "image_labels.csv")), table);
    assert_eq!(labels(&with(train.clone(), scratch.path("labels.csv").to_str().unwrap())).1[0], [0, 2]);
    scratch.remove_all("Annotations");
    assert_eq!(labels(&train), table);
    let message = "expected the folder of the annotations, there is no such folder";
    assert_data_error(&scratch, ImageSet::open_from(&with(train, "xml")), "Annotations", message);
}

#[test]
fn masks_are_taken_for_labels_only_when_asked_for() {
    let scratch = Scratch::new(3);
    let train = scratch.source("train");
    scratch.text("Annotations/a0.xml", "<annotation/>");
    assert_eq!(labels(&with(train.clone(), "masks")), ("masks".to_string(), vec![vec![0], vec![1, 2], vec![2]]));
    scratch.remove_all("Annotations");
    let message = "expected image-level labels: a folder Annotations, cls_labels.npy or image_labels.csv; there are \
                   only masks: --labels masks takes the classes they have";
    assert_data_error(&scratch, ImageSet::open_from(&train), "", message);
    scratch.remove("SegmentationClass/a1.png");
    let error = ImageSet::open_from(&with(train.clone(), "masks")).unwrap_err().to_string();
    assert!(error.ends_with("SegmentationClass/a1.png: expected a mask, there is no such file"), "{error}");
    scratch.remove_all("SegmentationClass");
    let error = ImageSet::open_from(&train).unwrap_err().to_string();
    assert!(error.ends_with("or image_labels.csv; there is none"), "{error}");
}

#[test]
fn a_mask_with_a_class_there_is_not_gives_no_label() {
    let scratch = Scratch::new(1);
    scratch.text("classes.txt", "ant");
    let source = with(scratch.source("train"), "masks");
    assert!(ImageSet::open_from(&source).is_ok());
    let other = Scratch::new(2);
    other.text("classes.txt", "ant");
    let error = ImageSet::open_from(&with(other.source("train"), "masks")).unwrap_err().to_string();
    let message = "a1.png: pixel (5, 1) has value 2; expected 0 (background), 1 to 1 (classes) or 255 (void)";
    assert!(error.ends_with(message), "{error}");
}

#[test]
fn a_header_gives_classes_where_no_list_does() {
    let scratch = Scratch::new(2);
    scratch.remove("classes.txt");
    scratch.remove_all("Annotations");
    scratch.text("image_labels.csv", "\u{feff}id,bee,zebra,ant\r\na0,1,0,0\r\na1,0,1,1\r\n");
    let set = Dataset::open(scratch.root(), "train").unwrap();
    assert_eq!(set.class_names(), ["bee", "zebra", "ant"]);
    assert_eq!((set.labels(0), set.labels(1)), (&[0][..], &[1, 2][..]));
}

#[test]
fn a_list_of_classes_decides_their_order() {
    let scratch = Scratch::new(2);
    scratch.remove_all("Annotations");
    scratch.text("image_labels.csv", "id,background,cat,ant,bee\na0,1,1,0,0\na1.png,1,0.0,1.0,1\n");
    let set = ImageSet::open(scratch.root(), "train").unwrap();
    assert_eq!(set.class_names(), CLASSES);
    assert_eq!((set.labels(0), set.labels(1)), (&[2][..], &[0, 1][..]));
}

#[test]
fn an_image_of_the_list_without_a_row() {
    let scratch = Scratch::new(2);
    scratch.remove_all("Annotations");
    scratch.text("image_labels.csv", "id,labels\na0,ant\n");
    let message = "expected the labels of image `a1`, there are none";
    assert_data_error(&scratch, ImageSet::open(scratch.root(), "train"), "image_labels.csv", message);
}

#[test]
fn files_that_are_no_labels() {
    let scratch = Scratch::new(1);
    let train = scratch.source("train");
    let error = ImageSet::open_from(&with(train.clone(), "labels.txt")).unwrap_err();
    let message = "labels: expected `auto`, `xml`, `masks`, or a file ending in .npy, .csv or .json, got `labels.txt`";
    assert_eq!((error.to_string().as_str(), error.exit_code()), (message, 2));
    let error = ImageSet::open_from(&with(train, "no.csv")).unwrap_err();
    let message = "no.csv: expected a CSV of image-level labels, there is no such file";
    assert_eq!((error.to_string().as_str(), error.exit_code()), (message, 3));
    assert_eq!("masks".parse::<LabelSource>().unwrap(), LabelSource::Masks);
}

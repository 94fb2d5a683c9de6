//! Every defect of a plain folder gives one error that names file and line.

use std::fs;

use candle_wsss_baselines::Result;
use candle_wsss_baselines::data::{Dataset, Mask, write_mask};

use super::scratch::{Scratch, assert_data_error};

const CSV: &str = "labels.csv";

fn open(scratch: &Scratch) -> Result<Dataset> {
    Dataset::open(scratch.root(), "train")
}

#[test]
fn tables_of_values() {
    let scratch = Scratch::folder(2);
    for (text, message) in [
        ("id,ant,bee,cat\na0,1,0,0\na1,1,0\n", "line 3: expected 4 values as in the header, got 3"),
        ("id,ant,bee,cat\na0,1,0,0,1\n", "line 2: expected 4 values as in the header, got 5"),
        ("id,ant,bee,cat\na0,1,0,0\na1,1,2,0\n", "line 3: expected 0 or 1 for `bee`, got `2`"),
        ("id,ant,bee,cat\na0,1,,0\n", "line 2: expected 0 or 1 for `bee`, got ``"),
        ("id,ant,bee,cat\na0,1,0,0\n\na0.png,1,0,0\n", "line 4: `a0` is there already, on line 2"),
        ("id,ant,bee,cat\nsub/a0,1,0,0\n", "line 2: expected the name of an image without its folder, got `sub/a0`"),
        ("id,ant,bee,cat\n,1,0,0\n", "line 2: expected the name of an image without its folder, got ``"),
        ("id,ant,bee,dog\na0,1,0,0\n", "line 1: class `dog` is not in classes.txt: ant, bee, cat"),
        ("id,ant,bee\na0,1,0\n", "line 1: class `cat` of classes.txt has no column; there are: ant, bee"),
        ("id,ant,bee,ant\na0,1,0,0\n", "line 1: class `ant` is there twice"),
        ("id,ant,bee,\na0,1,0,0\n", "line 1: expected the name of a class, column 4 has none"),
        ("id,ant,bee,cat\n", "expected a header and a row for each image, there is no row"),
        ("", "expected a header and a row for each image, there is no row"),
    ] {
        scratch.text(CSV, text);
        assert_data_error(&scratch, open(&scratch), CSV, message);
    }
    scratch.remove("classes.txt");
    for text in ["id\na0\n", "id,split\na0,train\n"] {
        scratch.text(CSV, text);
        let message = "expected 1 to 254 class names, a column each or names in the column of labels; got 0";
        assert_data_error(&scratch, open(&scratch), CSV, message);
    }
}

#[test]
fn tables_of_names() {
    let scratch = Scratch::folder(2);
    for (text, message) in [
        ("image,labels\na0,ant\na1,cat wasp\n", "line 3: unknown class `wasp`; known: ant, bee, cat"),
        ("image,labels\na0,ant;wasp\n", "line 2: unknown class `wasp`; known: ant, bee, cat"),
        ("image,labels\na0,ant,bee\n", "line 2: expected 2 values as in the header, got 3"),
        ("image,labels\na0\n", "line 2: expected 2 values as in the header, got 1"),
        (
            "image,labels,width\na0,ant,3\n",
            "line 1: expected the columns image, labels and perhaps split; got `width` as well",
        ),
        ("image,labels\n\"a0,ant\na1,bee\n", "line 2: expected 2 values as in the header, got 1"),
    ] {
        scratch.text(CSV, text);
        assert_data_error(&scratch, open(&scratch), CSV, message);
    }
    fs::write(scratch.path(CSV), b"image,labels\na0,ant\na\xff,bee\n").unwrap();
    assert_data_error(&scratch, open(&scratch), CSV, "line 3: expected UTF-8 text, byte 22 of the file is none");
}

#[test]
fn lists() {
    let scratch = Scratch::folder(2);
    for (text, message) in [
        ("\n \n", "expected the names of images, one a line; the list is empty"),
        ("a0\na1\na0.png\n", "line 3: `a0` is there already, on line 1"),
        ("a0\n../a1\n", "line 2: expected the name of an image without its folder, got `../a1`"),
    ] {
        scratch.text("train.txt", text);
        assert_data_error(&scratch, open(&scratch), "train.txt", message);
    }
    scratch.text("train.txt", "a0\na7\n");
    assert_data_error(
        &scratch,
        open(&scratch),
        "images/a7.jpg",
        "expected an image (or .jpeg, .png), there is no such file",
    );
}

#[test]
fn missing_parts() {
    let scratch = Scratch::folder(2);
    scratch.remove("images/a1.png");
    let message = "expected an image (or .jpeg, .png), there is no such file";
    assert_data_error(&scratch, open(&scratch), "images/a1.jpg", message);
    scratch.remove(CSV);
    let message = "expected image-level labels: a folder Annotations, cls_labels.npy or image_labels.csv; there are \
                   only masks: --labels masks takes the classes they have";
    assert_data_error(&scratch, open(&scratch), "", message);
}

#[test]
fn pictures() {
    let scratch = Scratch::folder(1);
    let set = open(&scratch).unwrap();
    let mask = Mask { width: 23, height: 20, data: vec![4; 460] };
    scratch.write("masks/a0.png", |path| write_mask(path, &mask).unwrap());
    let message = "pixel (0, 0) has value 4; expected 0 (background), 1 to 3 (classes) or 255 (void)";
    assert_data_error(&scratch, set.mask(0), "masks/a0.png", message);
    let mask = Mask { width: 23, height: 20, data: vec![3; 460] };
    scratch.write("masks/a0.png", |path| write_mask(path, &mask).unwrap());
    let image = scratch.path("images/a0.png");
    let message = format!("expected the size of {}, 24 x 20 (width x height), is 23 x 20", image.display());
    assert_data_error(&scratch, set.mask(0), "masks/a0.png", &message);
    let png = fs::read(&image).unwrap();
    fs::write(&image, &png[..png.len() / 2]).unwrap();
    let error = set.image(0).unwrap_err().to_string();
    assert!(error.contains("images/a0.png: cannot be decoded: "), "{error}");
}

use candle_wsss_baselines::data::{Coco, CocoConfig, DataSource, Overlap};
use serde_json::{Value, json};

use super::scratch::{JSON, Scratch, document};

/// Fails unless the error is that of invalid data, names the JSON and says `message`.
fn assert_message(scratch: &Scratch, message: &str) {
    let error = scratch.open().unwrap_err();
    assert_eq!(error.to_string(), format!("{}: {message}", scratch.path(JSON).display()));
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn no_annotations() {
    let scratch = Scratch::empty();
    assert_message(&scratch, "expected COCO's annotations of split `train2014`, there is no such file");
    let error = Coco::open(&DataSource::new("/nowhere/at/all", "train2014")).unwrap_err().to_string();
    assert_eq!(error, "/nowhere/at/all: expected the folder of a data set, there is no such folder");
    for split in ["../train2014", "/train2014", ""] {
        let error = Coco::open(&DataSource::new(scratch.root(), split)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("split: expected the name of a part, such as `train2014`, got `{split}`")
        );
        assert_eq!(error.exit_code(), 2);
    }
    let error = scratch.open_json("no.json", "train").unwrap_err().to_string();
    assert!(error.ends_with("no.json: expected COCO's annotations, there is no such file"), "{error}");
}

#[test]
fn no_json() {
    let scratch = Scratch::new(&document());
    for (text, message) in [
        ("", "expected COCO's JSON: EOF while parsing a value at line 1 column 0"),
        (
            "{\"images\": [\n1]}",
            "expected COCO's JSON: invalid type: integer `1`, expected struct Image at line 2 column 1",
        ),
        ("{\"images\": [{\"id\": NaN}]}", "expected COCO's JSON: expected value at line 1 column 20"),
        (
            "{\"images\": [], \"annotations\": []}",
            "expected COCO's JSON: missing field `categories` at line 1 column 33",
        ),
    ] {
        scratch.file(JSON, text.as_bytes());
        assert_message(&scratch, message);
    }
    for (list, key) in [
        ("categories", "id"),
        ("categories", "name"),
        ("images", "id"),
        ("images", "file_name"),
        ("images", "width"),
        ("images", "height"),
        ("annotations", "id"),
        ("annotations", "image_id"),
        ("annotations", "category_id"),
    ] {
        let mut document = document();
        document[list][0].as_object_mut().unwrap().remove(key);
        scratch.set(&document);
        let error = scratch.open().unwrap_err().to_string();
        assert!(error.contains(&format!("missing field `{key}` at line 1 column ")), "{error}");
    }
}

/// Sets a value of the document by its place in it.
fn with(place: &str, value: Value) -> Value {
    let mut document = document();
    *document.pointer_mut(place).unwrap() = value;
    document
}

#[test]
fn bad_references_and_ids() {
    let scratch = Scratch::new(&document());
    for (place, value, message) in [
        (
            "/annotations/2/category_id",
            json!(4),
            "annotation 12: expected the id of a category, there is no category 4",
        ),
        ("/annotations/2/image_id", json!(8), "annotation 12: expected the id of an image, there is no image 8"),
        ("/annotations/2/id", json!(10), "annotation 10: the id is there twice"),
        ("/annotations/2/iscrowd", json!(2), "annotation 12: iscrowd: expected 0 or 1, got 2"),
        ("/annotations/2/area", json!(-1.5), "annotation 12: area: expected a number from 0, got -1.5"),
        ("/images/1/id", json!(7), "image 7: the id is there twice"),
        ("/categories/0/id", json!(3), "category 3: the id is there twice"),
        ("/categories/0/name", json!("ant"), "category 17: `ant` is the name of category 3 already"),
        ("/categories/0/name", json!(" "), "category 17: expected a `name`, it is empty"),
        ("/categories", json!([]), "expected 1 to 254 categories, got 0"),
        ("/images", json!([]), "expected images, `images` is empty"),
    ] {
        scratch.set(&with(place, value));
        assert_message(&scratch, message);
    }
    let many: Vec<Value> = (0..255).map(|id| json!({"id": id, "name": format!("c{id}")})).collect();
    scratch.set(&with("/categories", json!(many)));
    assert_message(&scratch, "expected 1 to 254 categories, got 255");
    scratch.set(&with("/annotations/0/area", Value::Null));
    assert!(scratch.open().is_ok());
    let by_area = CocoConfig { overlap: Overlap::SmallerOnTop, ..CocoConfig::default() };
    let error = scratch.open_with(&by_area).unwrap_err().to_string();
    assert!(
        error.ends_with("annotation 10: expected an `area`, as smaller annotations are drawn on top; there is none"),
        "{error}"
    );
}

#[test]
fn bad_images() {
    let scratch = Scratch::new(&document());
    let sides = "expected sides of 1 to 65536 and at most 67108864 pixels";
    for (place, value, message) in [
        ("/images/0/width", json!(0), format!("image 7: {sides}, is 0 x 5 (width x height)")),
        ("/images/0/height", json!(65537), format!("image 7: {sides}, is 6 x 65537 (width x height)")),
        ("/images/0/width", json!(u64::MAX), format!("image 7: {sides}, is {} x 5 (width x height)", u64::MAX)),
    ] {
        scratch.set(&with(place, value));
        assert_message(&scratch, &message);
    }
    let mut document = with("/images/0/width", json!(20000));
    document["images"][0]["height"] = json!(20000);
    scratch.set(&document);
    assert_message(&scratch, &format!("image 7: {sides}, is 20000 x 20000 (width x height)"));
    for name in ["../a.jpg", "/a.jpg", "", "..", "x\\a.jpg"] {
        scratch.set(&with("/images/0/file_name", json!(name)));
        assert_message(
            &scratch,
            &format!("image 7: expected the name of a file below the images' folder, got `{name}`"),
        );
    }
    scratch.set(&with("/images/0/file_name", json!("z.jpg")));
    let folders = format!("{}, {}", scratch.path("train2014").display(), scratch.root().display());
    assert_message(&scratch, &format!("image 7: expected its file `z.jpg` in one of {folders}; it is in none"));
    scratch.file("train2014/b.png", b"");
    scratch.set(&with("/images/0/file_name", json!("b.png")));
    assert_message(&scratch, "image 7: the name `b` is that of image 2 already");
}

#[test]
fn bad_segmentations() {
    let scratch = Scratch::new(&document());
    let square = json!([0, 0, 1, 0, 1, 1]);
    let characters = |counts: &str| json!({"size": [5, 6], "counts": counts});
    for (segmentation, message) in [
        (json!([square, [0, 0, 1, 0, 1, 1, 5]]), "polygon 1: expected pairs of x and y, got 7 numbers"),
        (json!([[0, 0, 1, 0], [1]]), "polygon 0: expected at least 3 points, got 2"),
        (json!([[]]), "polygon 0: expected at least 3 points, got 0"),
        (
            json!([[0, 0, 1, -1e7, 1, 1]]),
            "polygon 0: expected coordinates of at most 1000000 either way, got -10000000",
        ),
        (
            json!({"size": [6, 5], "counts": [30]}),
            "size: expected that of its image, 5 x 6 (height x width), got 6 x 5",
        ),
        (
            json!({"size": [5, 6], "counts": [3, 4]}),
            "expected counts that add up to 5 * 6 = 30 (height * width), their sum is 7",
        ),
        (
            json!({"size": [5, 6], "counts": [u32::MAX, u32::MAX]}),
            "expected counts that add up to 5 * 6 = 30 (height * width), their sum is 8589934590",
        ),
        (characters("12"), "expected counts that add up to 5 * 6 = 30 (height * width), their sum is 3"),
        (json!({"size": [5, 6]}), "expected `counts` beside the `size`, there are none"),
        (json!({"counts": [30]}), "expected a `size` beside the `counts`, there is none"),
        (characters("1p"), "counts: expected characters from `0` to `o`, character 1 is `p`"),
        (characters("1Q"), "counts: the text of 2 characters ends within a number"),
        (characters("1O"), "counts: expected lengths from 0 to 4294967295, number 1 is -1"),
        (characters("oooooooo0"), "counts: expected numbers of at most 7 characters, see character 7"),
    ] {
        scratch.set(&with("/annotations/2/segmentation", segmentation));
        assert_message(&scratch, &format!("annotation 12: {message}"));
    }
    for segmentation in [json!("x"), json!([[0, 0, "1"]]), json!({"size": [5], "counts": []}), json!([1, 2]), json!(5)]
    {
        scratch.set(&with("/annotations/2/segmentation", segmentation));
        let error = scratch.open().unwrap_err().to_string();
        assert!(error.contains("expected COCO's JSON: invalid ") && error.contains(" at line 1 column "), "{error}");
    }
    let text = document().to_string().replacen("[[1,1,3", "[[1e999,1,3", 1);
    scratch.file(JSON, text.as_bytes());
    let error = scratch.open().unwrap_err().to_string();
    assert!(error.contains("number out of range at line 1 column "), "{error}");
}

//! COCO as any other data set.

use std::path::PathBuf;

use candle_wsss_baselines::data::{DataSource, Dataset, ImageSet, LabelSource, Mask, Survey, write_mask};
use image::RgbImage;
use serde_json::{Value, json};

use super::scratch::Scratch;

/// Images `a0`, `a1` and `a2` of 24, 25 and 26 by 20 pixels, `a2` without annotation.
fn coco() -> Scratch {
    let scratch = Scratch::new(3);
    for old in ["Annotations", "ImageSets", "SegmentationClass"] {
        scratch.remove_all(old);
    }
    scratch.remove("classes.txt");
    scratch.rename("JPEGImages", "train2014");
    document(&scratch, &json!([[2, 2, 6, 2, 6, 5, 2, 5]]));
    scratch
}

fn document(scratch: &Scratch, segmentation: &Value) {
    let image = |i: i64| json!({"id": i, "file_name": format!("a{i}.png"), "width": 24 + i, "height": 20});
    let annotation = |id: i64, image: i64, category: i64| {
        let mut annotation = json!({"id": id, "image_id": image, "category_id": category, "area": 12.0, "iscrowd": 0});
        if !segmentation.is_null() {
            annotation["segmentation"] = segmentation.clone();
        }
        annotation
    };
    let document = json!({
        "images": [image(0), image(1), image(2)],
        "annotations": [annotation(1, 0, 90), annotation(2, 1, 90), annotation(3, 1, 2)],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 2, "name": "bicycle"}],
    });
    scratch.text("annotations/instances_train2014.json", &document.to_string());
}

#[test]
fn has_all_a_data_set_has() {
    let scratch = coco();
    let set = Dataset::open(scratch.root(), "train2014").unwrap();
    assert_eq!((set.len(), set.has_masks(), set.mask_source().as_str()), (3, true, "COCO polygons"));
    assert_eq!(set.class_names(), ["bicycle", "toothbrush"]);
    assert_eq!(set.images().label_source(), "instances_train2014.json");
    assert_eq!((0..3).map(|i| set.labels(i)).collect::<Vec<_>>(), [&[1][..], &[0, 1], &[]]);
    assert_eq!(set.image(1).unwrap().width(), 25);
    assert_eq!(set.mask(0).unwrap().classes(), [1]);
    assert_eq!(set.mask(0).unwrap().data.iter().filter(|value| **value == 2).count(), 12);
    assert_eq!(set.mask(2).unwrap().data, vec![0; 26 * 20]);
    assert!(set.saliency(0).unwrap().is_some());
    let check = Survey::open(&scratch.source("train2014")).unwrap().run(&|| {});
    assert!(check.works.iter().all(|work| work.works), "{}", check.to_text());
    assert_eq!((check.kind.as_str(), check.masks.there, &check.labels.per_class[..]), ("COCO", 3, &[1, 2][..]));
    assert_eq!((check.notes[0].what, check.notes[0].count), ("images without a label", 1));
}

#[test]
fn labels_and_masks_may_be_elsewhere() {
    let scratch = coco();
    let source = scratch.source("train");
    scratch.text("own.csv", "id,toothbrush,bicycle\na0,0,1\na1,1,1\na2,1,0\n");
    let own = DataSource { labels: LabelSource::File("own.csv".into()), ..source.clone() };
    let set = ImageSet::open_from(&own).unwrap();
    assert_eq!((set.labels(0), set.labels(2), set.label_source()), (&[0][..], &[1][..], "own.csv"));
    let of_masks = DataSource { labels: LabelSource::Masks, ..source.clone() };
    // The later of two annotations in one place is on top.
    assert_eq!(ImageSet::open_from(&of_masks).unwrap().labels(1), [0]);
    let mask = Mask { width: 24, height: 20, data: vec![1; 480] };
    scratch.write("drawn/a0.png", |path| write_mask(path, &mask).unwrap());
    let drawn = DataSource { masks: Some(PathBuf::from("drawn")), ..source };
    let set = Dataset::open_from(&drawn).unwrap();
    assert_eq!((set.has_masks(), set.mask_source().as_str(), set.mask(0).unwrap()), (false, "drawn", mask));
}

#[test]
fn a_path_as_typed_comes_before_one_below_the_data_set() {
    let scratch = coco();
    // Tests do not move to another folder, so what is typed is a path from where they are: of this crate's manifest.
    let typed = PathBuf::from("tests/data/fixtures/typed.csv");
    assert!(typed.is_file());
    let below = "id,bicycle,toothbrush\na0,1,0\na1,1,0\na2,1,0\n";
    scratch.text("tests/data/fixtures/typed.csv", below);
    let source = DataSource { labels: LabelSource::File(typed), ..scratch.source("train") };
    assert_eq!(ImageSet::open_from(&source).unwrap().labels(0), [1]);
    scratch.text("below.CSV", below);
    let source = DataSource { labels: LabelSource::File("below.CSV".into()), ..source };
    assert_eq!(ImageSet::open_from(&source).unwrap().labels(0), [0]);
}

#[test]
fn training_does_not_look_at_polygons() {
    let scratch = coco();
    document(&scratch, &json!([[1, 2, 3]]));
    assert_eq!(ImageSet::open(scratch.root(), "train2014").unwrap().labels(1), [0, 1]);
    assert!(Dataset::open(scratch.root(), "train2014").is_err());
    document(&scratch, &Value::Null);
    let set = Dataset::open(scratch.root(), "train2014").unwrap();
    assert!(!set.has_masks());
    let check = Survey::open(&scratch.source("train2014")).unwrap().run(&|| {});
    assert_eq!(check.works.last().unwrap().reason.as_deref(), Some("no masks in COCO polygons"));
    assert!(check.trains());
}

#[test]
fn every_defect_has_its_place() {
    let scratch = coco();
    let error = ImageSet::open(scratch.root(), "val2014").unwrap_err().to_string();
    assert!(error.contains("instances_val2014.json: expected COCO's annotations of split `val2014`"), "{error}");
    scratch.write("train2014/a0.png", |path| RgbImage::new(23, 20).save(path).unwrap());
    let set = Dataset::open(scratch.root(), "train2014").unwrap();
    let error = set.mask(0).unwrap_err().to_string();
    assert!(error.contains("a0.png, 23 x 20 (width x height), is 24 x 20"), "{error}");
    scratch.text("train2014/a1.png", "none");
    assert!(set.image(1).unwrap_err().to_string().contains("a1.png: expected a JPEG or PNG image"));
    let check = Survey::open(&scratch.source("train2014")).unwrap().run(&|| {});
    let told: Vec<_> = check.problems.iter().map(|problem| (problem.what, problem.count)).collect();
    let expected = [
        ("images unreadable or cut short", 1),
        ("masks of another size than their image", 1),
        ("saliency maps of another size than their image", 1),
    ];
    assert_eq!(told, expected);
    scratch.remove("train2014/a2.png");
    let error = ImageSet::open(scratch.root(), "train2014").unwrap_err().to_string();
    assert!(error.contains("image 2: expected its file `a2.png`"), "{error}");
}

use candle_wsss_baselines::data::{Coco, CocoConfig, Crowd, DataSource, LabelSource, Overlap};
use serde_json::json;

use super::scratch::{JSON, Scratch, document};

#[test]
fn classes_and_images_are_in_the_order_of_their_ids() {
    let coco = Scratch::new(&document()).open().unwrap();
    assert_eq!(coco.class_names, ["ant", "cat"]);
    let names: Vec<_> = coco.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "c"]);
    let labels: Vec<_> = coco.images.iter().map(|image| image.labels.as_slice()).collect();
    assert_eq!(labels, [&[1][..], &[0, 1], &[]]);
    assert_eq!((coco.images[1].width, coco.images[1].height), (6, 5));
    assert_eq!(coco.num_without_labels(), 1);
    assert!(coco.has_masks());
}

#[test]
fn crowds_can_be_left_out_of_the_labels() {
    let scratch = Scratch::new(&document());
    let coco = scratch.open_with(&CocoConfig { crowd_labels: false, ..CocoConfig::default() }).unwrap();
    assert!(coco.images[0].labels.is_empty());
    assert_eq!(coco.images[1].labels, [0, 1]);
    assert_eq!(coco.num_without_labels(), 2);
}

#[test]
fn images_without_labels_can_be_left_out() {
    let scratch = Scratch::new(&document());
    let config = CocoConfig { crowd_labels: false, keep_unlabelled: false, ..CocoConfig::default() };
    let coco = scratch.open_with(&config).unwrap();
    assert_eq!(coco.images.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(coco.num_without_labels(), 0);
    assert_eq!(coco.mask(0).unwrap(), scratch.open().unwrap().mask(1).unwrap());
    let mut document = document();
    document["annotations"] = json!([]);
    scratch.set(&document);
    assert_eq!(scratch.open().unwrap().num_without_labels(), 3);
    let error = scratch.open_with(&config).unwrap_err().to_string();
    assert!(error.ends_with("expected images with labels, as others are left out; there is none"), "{error}");
}

#[test]
fn labels_alone_are_the_same_labels() {
    let mut document = document();
    let scratch = Scratch::new(&document);
    let source = DataSource::new(scratch.root(), "train2014");
    let labels = Coco::open_labels(&source, &CocoConfig::default()).unwrap();
    assert_eq!(labels.images, scratch.open().unwrap().images);
    assert!(!labels.has_masks());
    assert!(
        labels
            .mask(1)
            .unwrap_err()
            .to_string()
            .ends_with("annotation 10: has no segmentation, so that no mask can be drawn")
    );
    // Boxes are enough.
    for annotation in document["annotations"].as_array_mut().unwrap() {
        annotation.as_object_mut().unwrap().retain(|key, _| ["id", "image_id", "category_id"].contains(&key.as_str()));
    }
    scratch.set(&document);
    let boxes = scratch.open().unwrap();
    assert_eq!(boxes.images, labels.images);
    assert!(!boxes.has_masks());
    assert!(boxes.mask(1).is_err());
    assert!(boxes.mask(2).is_ok());
}

#[test]
fn a_split_may_leave_its_year_out() {
    let scratch = Scratch::new(&document());
    let source = DataSource::new(scratch.root(), "train");
    let coco = Coco::open(&source).unwrap();
    assert_eq!(coco.images[1].path, scratch.path("train2014/a.jpg"));
    assert_eq!(coco.annotations(), scratch.path(JSON));
    scratch.file("annotations/instances_train2017.json", document().to_string().as_bytes());
    let error = Coco::open(&source).unwrap_err().to_string();
    assert!(
        error.ends_with("split `train` may be `train2014` or `train2017`; expected the one that is meant"),
        "{error}"
    );
    // The exact name comes first.
    scratch.file("annotations/instances_train.json", document().to_string().as_bytes());
    scratch.file("train/a.jpg", b"");
    scratch.file("images/b.jpg", b"");
    scratch.file("images/train/c.jpg", b"");
    let coco = Coco::open(&source).unwrap();
    let paths: Vec<_> = coco.images.iter().map(|image| image.path.clone()).collect();
    assert_eq!(paths, ["images/b.jpg", "train/a.jpg", "images/train/c.jpg"].map(|path| scratch.path(path)));
}

#[test]
fn a_json_anywhere() {
    let scratch = Scratch::empty();
    scratch.file("labels/mine.json", document().to_string().as_bytes());
    for image in ["mine/a.jpg", "b.jpg", "images/c.jpg"] {
        scratch.file(image, b"");
    }
    for json in [scratch.path("labels/mine.json"), "labels/mine.json".into()] {
        let coco = scratch.open_json(json, "train").unwrap();
        let paths: Vec<_> = coco.images.iter().map(|image| image.path.clone()).collect();
        assert_eq!(paths, ["b.jpg", "mine/a.jpg", "images/c.jpg"].map(|path| scratch.path(path)));
    }
    // In capitals too, and rather than what is in the usual place.
    let scratch = Scratch::new(&document());
    let mut other = document();
    other["categories"][0]["name"] = json!("tiger");
    scratch.file("OWN.JSON", other.to_string().as_bytes());
    let coco = scratch.open_json("OWN.JSON", "train2014").unwrap();
    assert_eq!(
        (&coco.class_names[..], coco.annotations()),
        (&["ant", "tiger"].map(String::from)[..], &*scratch.path("OWN.JSON"))
    );
    // Labels of another kind leave the annotations where they are.
    let scratch = Scratch::new(&document());
    let labels = LabelSource::File("labels.csv".into());
    assert!(Coco::open(&DataSource { labels, ..DataSource::new(scratch.root(), "train2014") }).is_ok());
}

#[test]
fn images_in_folders_of_their_own() {
    let mut document = document();
    document["images"][0]["file_name"] = json!("sub/folder/a.v2.png");
    let coco = Scratch::new(&document).open().unwrap();
    assert_eq!(coco.images[1].name, "a.v2");
}

#[test]
fn the_configuration_has_words() {
    let config: CocoConfig = toml::from_str("crowd = \"void\"\noverlap = \"smaller_on_top\"").unwrap();
    assert_eq!(config, CocoConfig { crowd: Crowd::Void, overlap: Overlap::SmallerOnTop, ..CocoConfig::default() });
}

use candle_wsss_baselines::data::{Dataset, ImageSet, Mask, VOC_CLASSES};

use super::scratch::{CLASSES, Scratch};

#[test]
fn reads_what_is_there() {
    let scratch = Scratch::new(4);
    let set = Dataset::open(scratch.root(), "train").unwrap();
    assert_eq!((set.len(), set.is_empty(), set.has_masks()), (4, false, true));
    assert_eq!(set.class_names(), CLASSES);
    assert_eq!(set.layout().num_foreground(), 3);
    assert_eq!((0..4).map(|i| set.name(i)).collect::<Vec<_>>(), ["a0", "a1", "a2", "a3"]);
    assert_eq!((0..4).map(|i| set.labels(i)).collect::<Vec<_>>(), [&[0][..], &[1, 2], &[2], &[0, 2]]);
    for i in 0..4 {
        let (image, mask) = (set.image(i).unwrap(), set.mask(i).unwrap());
        assert_eq!((image.width() as usize, image.height() as usize), (mask.width, mask.height));
        assert_eq!(mask.classes(), set.labels(i));
        let saliency = set.saliency(i).unwrap().unwrap();
        assert!(saliency.pixels().zip(image.pixels()).all(|(s, p)| s[0] == p[0]));
    }
}

#[test]
fn has_vocs_classes_without_a_list_of_its_own() {
    let scratch = Scratch::new(1);
    scratch.remove("classes.txt");
    scratch.text("Annotations/a0.xml", &voc_annotation("sheep"));
    let set = Dataset::open(scratch.root(), "train").unwrap();
    assert_eq!(set.class_names(), VOC_CLASSES);
    assert_eq!(set.labels(0), [VOC_CLASSES.iter().position(|name| *name == "sheep").unwrap()]);
}

#[test]
fn a_list_of_classes_may_start_with_the_background() {
    let scratch = Scratch::new(1);
    scratch.text("classes.txt", "background\r\nant\r\n\r\nbee\r\ncat\r\n");
    assert_eq!(Dataset::open(scratch.root(), "train").unwrap().class_names(), CLASSES);
}

#[test]
fn parts_of_objects_are_no_objects_and_difficult_ones_are() {
    let scratch = Scratch::new(1);
    let xml = "<?xml version=\"1.0\"?><annotation><object><part><name>wing</name></part><name> bee </name>\
               <difficult>1</difficult></object><object><name>bee</name></object></annotation>";
    scratch.text("Annotations/a0.xml", xml);
    assert_eq!(ImageSet::open(scratch.root(), "train").unwrap().labels(0), [1]);
}

#[test]
fn an_image_without_objects_has_no_label() {
    let scratch = Scratch::new(1);
    scratch.text("Annotations/a0.xml", "<annotation/>");
    assert!(ImageSet::open(scratch.root(), "train").unwrap().labels(0).is_empty());
}

#[test]
fn masks_are_not_needed_and_not_looked_at_for_training() {
    let scratch = Scratch::new(2);
    scratch.text("SegmentationClass/a1.png", "no mask at all");
    assert_eq!(Dataset::open_images(scratch.root(), "train").unwrap().len(), 2);
    std::fs::remove_dir_all(scratch.path("SegmentationClass")).unwrap();
    let set = Dataset::open(scratch.root(), "train").unwrap();
    assert!(!set.has_masks());
    assert_eq!(set.images().labels(1), [1, 2]);
    let error = set.mask(0).unwrap_err().to_string();
    assert!(error.ends_with("SegmentationClass/a0.png: expected a mask, there is no such file"), "{error}");
}

#[test]
fn saliency_is_optional() {
    let scratch = Scratch::new(1);
    scratch.remove("saliency/a0.png");
    assert!(Dataset::open(scratch.root(), "train").unwrap().saliency(0).unwrap().is_none());
}

#[test]
fn mask_values_and_classes_translate_both_ways() {
    let scratch = Scratch::new(1);
    let layout = Dataset::open(scratch.root(), "train").unwrap().layout();
    for class in 0..layout.num_classes() {
        assert_eq!(Mask::class_of(Mask::index_of(class, layout), layout), Some(class));
    }
    assert_eq!(Mask::class_of(0, layout), Some(layout.background()));
    assert_eq!((Mask::class_of(4, layout), Mask::class_of(255, layout)), (None, None));
}

fn voc_annotation(class: &str) -> String {
    format!("<annotation><object><name>{class}</name></object></annotation>")
}

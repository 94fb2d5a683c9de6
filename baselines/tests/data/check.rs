//! A data set looked over.

use std::fs;

use candle_wsss_baselines::data::{DataCheck, DataSource, LabelSource, Mask, Survey, write_mask};
use image::{GrayImage, RgbImage};

use super::scratch::Scratch;

fn check(source: &DataSource) -> DataCheck {
    Survey::open(source).unwrap().run(&|| {})
}

/// Kind, count and the files of what is told.
fn told(check: &DataCheck) -> Vec<(&'static str, usize)> {
    check.problems.iter().chain(&check.notes).map(|problem| (problem.what, problem.count)).collect()
}

fn works(check: &DataCheck) -> Vec<bool> {
    check.works.iter().map(|work| work.works).collect()
}

#[test]
fn a_whole_data_set() {
    let scratch = Scratch::new(4);
    scratch.write("JPEGImages/more.png", |path| RgbImage::new(3, 3).save(path).unwrap());
    let check = check(&scratch.source("train"));
    assert_eq!(told(&check), []);
    assert_eq!(works(&check), [true; 5]);
    assert!(check.trains());
    assert_eq!((check.images.listed, check.images.readable, check.images.unlisted), (4, 4, Some(1)));
    assert_eq!((check.images.smallest, check.images.largest), (Some([24, 20]), Some([27, 20])));
    assert_eq!((check.labels.images, &check.labels.per_class[..]), (4, &[2, 1, 3][..]));
    assert_eq!(check.labels.per_image.into_iter().collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    let pixels = 20 * (24 + 25 + 26 + 27);
    assert_eq!((check.masks.there, check.masks.pixels, check.masks.void), (4, pixels, 4));
    assert_eq!((check.masks.background, &check.masks.per_class[..]), (pixels - 4 - 6, &[2, 1, 3][..]));
    assert_eq!(check.saliency.there, 4);
}

#[test]
fn everything_wrong_at_once_is_told_at_once() {
    let scratch = Scratch::new(12);
    scratch.text("ImageSets/Segmentation/train.txt", &list(12, "a1\n"));
    scratch.remove("JPEGImages/a0.png");
    let png = fs::read(scratch.path("JPEGImages/a1.png")).unwrap();
    fs::write(scratch.path("JPEGImages/a1.png"), &png[..png.len() - 30]).unwrap();
    scratch.remove("Annotations/a2.xml");
    scratch.text("Annotations/a3.xml", "<annotation><object><name>wasp</name></object></annotation>");
    scratch.text("Annotations/a4.xml", "<annotation/>");
    scratch.remove("SegmentationClass/a5.png");
    scratch.text("SegmentationClass/a6.png", "none");
    flat_mask(&scratch, "a7", 9, 1);
    flat_mask(&scratch, "a8", 32, 77);
    scratch.remove("saliency/a9.png");
    scratch.text("saliency/a10.png", "none");
    scratch.write("saliency/a11.png", |path| GrayImage::new(3, 3).save(path).unwrap());
    let check = check(&scratch.source("train"));
    let expected = [
        ("defects of the list or the table of labels", 1),
        ("images missing", 1),
        ("images unreadable or cut short", 1),
        ("images whose labels are missing or wrong", 2),
        ("masks missing", 1),
        ("masks unreadable", 1),
        ("masks of another size than their image", 1),
        ("masks with values out of range", 1),
        ("saliency maps missing", 1),
        ("saliency maps unreadable", 1),
        ("saliency maps of another size than their image", 1),
        ("images without a label", 1),
        ("images whose mask has a class their labels have not", 2),
        ("images whose labels have a class their mask has not", 2),
    ];
    assert_eq!(told(&check), expected);
    assert_eq!(works(&check), [false; 5]);
    let all = check.problems.iter().flat_map(|problem| &problem.first);
    for (text, part) in all.zip([
        "train.txt: line 13: `a1` is there already, on line 2",
        "a0.jpg: expected an image",
        "a1.png: cannot be decoded",
        "a2.xml: expected an annotation",
        "a3.xml: line 1: unknown class `wasp`",
        "a5.png",
        "a6.png: expected a palette PNG",
        "a7.png: expected the size of ",
        "a8.png: pixel (0, 0) has value 77",
        "a9.png",
        "a10.png: expected a JPEG or PNG image",
        "a11.png: expected the size of ",
    ]) {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(check.notes[0].first, ["a4"]);
    assert_eq!(check.notes[1].first, ["a4: bee", "a7: ant"]);
    assert_eq!(check.notes[2].first, ["a7: bee, cat", "a8: cat"]);
}

#[test]
fn each_defect_keeps_its_own_from_working() {
    type Spoil = fn(&Scratch);
    let cases: [(Spoil, [bool; 5], &str); 8] = [
        (|s| s.remove_all("SegmentationClass"), [true, true, true, true, false], "no masks in SegmentationClass"),
        (|s| s.remove("SegmentationClass/a0.png"), [true, true, true, true, false], "masks missing: 1"),
        (|s| s.remove_all("saliency"), [true, false, true, true, true], "no saliency maps in saliency"),
        (|s| s.remove("saliency/a1.png"), [true, false, true, true, true], "saliency maps missing: 1"),
        (|s| s.remove("Annotations/a1.xml"), [false; 5], "images whose labels are missing or wrong: 1"),
        (|s| s.remove("JPEGImages/a1.png"), [false; 5], "images missing: 1"),
        (|s| s.text("JPEGImages/a1.png", "x"), [false; 5], "images unreadable or cut short: 1"),
        (
            |s| (0..2).for_each(|i| s.text(&format!("Annotations/a{i}.xml"), "<annotation/>")),
            [false, false, true, true, true],
            "no image has a label",
        ),
    ];
    for (spoil, expected, reason) in cases {
        let scratch = Scratch::new(2);
        spoil(&scratch);
        let check = check(&scratch.source("train"));
        assert_eq!(works(&check), expected, "{reason}");
        let reasons: Vec<_> = check.works.iter().filter_map(|work| work.reason.as_deref()).collect();
        assert!(reasons.iter().all(|own| *own == reason), "{reasons:?}");
    }
}

#[test]
fn without_labels_the_rest_is_looked_at() {
    let scratch = Scratch::new(2);
    scratch.remove_all("Annotations");
    let source = scratch.source("train");
    let without = check(&source);
    assert_eq!(told(&without), [("defects of the list or the table of labels", 1)]);
    assert_eq!((without.masks.there, without.images.readable, without.labels.images), (2, 2, 0));
    let with = check(&DataSource { labels: LabelSource::Masks, ..source });
    assert_eq!(told(&with), [("labels taken from masks", 2)]);
    assert_eq!(works(&with), [true; 5]);
}

#[test]
fn vocs_lists_of_another_length_are_noted() {
    let scratch = Scratch::new(1);
    for (folder, extension) in
        [("JPEGImages", "png"), ("Annotations", "xml"), ("SegmentationClass", "png"), ("saliency", "png")]
    {
        scratch.rename(&format!("{folder}/a0.{extension}"), &format!("{folder}/2007_000032.{extension}"));
    }
    scratch.text("ImageSets/Segmentation/train.txt", "2007_000032\n");
    let check = check(&scratch.source("train"));
    assert_eq!(check.notes[0].first, ["train has 1 images, VOC's list of this name 1464"]);
    assert_eq!(works(&check), [true; 5]);
}

#[test]
fn a_plain_folder_with_bad_rows() {
    let scratch = Scratch::folder(8);
    let mut csv = fs::read_to_string(scratch.path("labels.csv")).unwrap();
    csv.push_str("a9,ant\na0,ant\na1,wasp\n");
    scratch.text("labels.csv", &csv);
    let check = check(&scratch.source("train"));
    let expected = [
        ("defects of the list or the table of labels", 2),
        ("images missing", 1),
        ("masks missing", 1),
        ("saliency maps missing", 1),
    ];
    assert_eq!(told(&check), expected);
    assert_eq!(
        (check.images.listed, check.images.unlisted, check.kind.as_str()),
        (9, Some(0), "folder with a table of labels")
    );
}

#[test]
fn no_more_than_the_first_few_are_shown() {
    let scratch = Scratch::new(9);
    for i in 0..9 {
        scratch.text(&format!("saliency/a{i}.png"), "none");
    }
    let check = check(&scratch.source("train"));
    assert_eq!((check.problems[0].count, check.problems[0].first.len()), (9, 5));
    assert!(check.to_text().contains("    and 4 more\n"), "{}", check.to_text());
}

#[test]
fn threads_change_nothing() {
    let scratch = Scratch::new(9);
    for i in 0..9 {
        scratch.text(&format!("SegmentationClass/a{i}.png"), "none");
    }
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| check(&scratch.source("train")).to_json().unwrap())
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn without_a_list_there_is_nothing_to_look_over() {
    let scratch = Scratch::new(1);
    assert!(Survey::open(&scratch.source("val")).is_err());
    scratch.text("ImageSets/Segmentation/train.txt", "\n");
    assert!(Survey::open(&scratch.source("train")).is_err());
}

fn list(images: usize, more: &str) -> String {
    (0..images).map(|i| format!("a{i}\n")).collect::<String>() + more
}

fn flat_mask(scratch: &Scratch, name: &str, width: usize, value: u8) {
    let mask = Mask { width, height: 20, data: vec![value; width * 20] };
    scratch.write(&format!("SegmentationClass/{name}.png"), |path| write_mask(path, &mask).unwrap());
}

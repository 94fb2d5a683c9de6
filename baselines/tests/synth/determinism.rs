use std::fs;

use candle_wsss_baselines::data::Dataset;
use candle_wsss_baselines::synth::{SynthConfig, generate};
use rayon::ThreadPoolBuilder;

use super::{Generated, small};

#[test]
fn the_same_settings_give_the_same_bytes_whatever_the_threads() {
    let expected = Generated::new(&small()).files("");
    assert_eq!(expected.len(), 4 * 14 + 3 + 2, "image, annotation, mask, saliency; lists; classes and readme");
    for threads in [1, 4] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let files = pool.install(|| Generated::new(&small())).files("");
        assert!(files == expected, "{threads} threads");
    }
}

#[test]
fn seeds_change_images_and_families_change_classes() {
    let base = Generated::new(&small());
    let seed = Generated::new(&SynthConfig { seed: 1, ..small() });
    let family = Generated::new(&SynthConfig { family: 1, ..small() });
    assert_eq!(base.summary.class_names, seed.summary.class_names);
    assert_ne!(base.files("JPEGImages"), seed.files("JPEGImages"));
    assert!(base.summary.class_names.iter().all(|name| !family.summary.class_names.contains(name)));
    assert_ne!(base.files("JPEGImages"), family.files("JPEGImages"));
}

#[test]
fn splits_do_not_depend_on_each_other() {
    let base = Generated::new(&small());
    let larger = Generated::new(&SynthConfig { train: 17, ..small() });
    for (path, bytes) in base.files("JPEGImages").iter().chain(&base.files("SegmentationClass")) {
        assert!(larger.files("").get(path) == Some(bytes), "{}", path.display());
    }
    let images = base.files("JPEGImages");
    let mut contents: Vec<_> = images.values().collect();
    contents.sort();
    contents.dedup();
    assert_eq!(contents.len(), images.len(), "an image is there twice");
}

#[test]
fn a_split_may_be_left_out() {
    let set = Generated::new(&SynthConfig { train: 2, val: 0, ..small() });
    assert_eq!(set.files("ImageSets").len(), 2);
    assert_eq!(set.summary.val.images, 0);
    let open = |split| Dataset::open(&set.root(), split).map(|data| data.len());
    assert_eq!((open("train").unwrap(), open("trainval").unwrap()), (2, 2));
    assert!(
        open("val")
            .unwrap_err()
            .to_string()
            .contains("val.txt: expected the list of split `val`, there is no such file")
    );
}

#[test]
fn takes_an_empty_folder_and_refuses_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let config = SynthConfig { train: 1, val: 1, ..small() };
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    generate(&config, &empty, &mut |_, _| {}).unwrap();
    assert!(empty.join("classes.txt").is_file());
    let error = generate(&config, &empty, &mut |_, _| {}).unwrap_err();
    let expected = format!("{}: exists already; choose another output, or remove it", empty.display());
    assert_eq!((error.to_string(), error.exit_code()), (expected, 2));
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert_eq!(generate(&config, &file, &mut |_, _| {}).unwrap_err().exit_code(), 2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    // Folders on the way are made, and nothing else is left beside the output.
    generate(&config, &folder.path().join("on/the/way"), &mut |_, _| {}).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("on/the")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn progress_goes_from_none_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    generate(&small(), &folder.path().join("set"), &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!((seen[0], *seen.last().unwrap()), ((0, 14), (14, 14)));
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[1].1 == 14));
}

#[test]
fn settings_out_of_range_are_named_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let check = |config: SynthConfig, message: &str| {
        let error = generate(&config, &folder.path().join("set"), &mut |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), format!("config field {message}"));
        assert_eq!(error.exit_code(), 2);
    };
    check(SynthConfig { classes: 0, ..small() }, "`classes`: must be 1 to 60, is 0");
    check(SynthConfig { classes: 61, ..small() }, "`classes`: must be 1 to 60, is 61");
    check(SynthConfig { train: 0, ..small() }, "`train`: must be at least 1, is 0");
    check(
        SynthConfig { size: [47, 90], ..small() },
        "`size`: must be two sides from 48 to 4096, the smaller first; is [47, 90]",
    );
    check(
        SynthConfig { object_scale: [0.5, f64::NAN], ..small() },
        "`object_scale`: must be two lengths from 0.2 to 1, the smaller first; is [0.5, NaN]",
    );
    check(SynthConfig { max_objects: 0, ..small() }, "`max_objects`: must be 1 to 8, is 0");
    check(SynthConfig { noise: f64::NAN, ..small() }, "`noise`: must be 0 to 1, is NaN");
    check(SynthConfig { part_share: 0.6, ..small() }, "`part_share`: must be 0.02 to 0.5, is 0.6");
    check(SynthConfig { jpeg_quality: 0, ..small() }, "`jpeg_quality`: must be 1 to 100, is 0");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

//! Data that is not as it should be: exit code 3, the file named, nothing made.

use std::path::{Path, PathBuf};

use crate::cli::workbench::{TINY, data_copy, fails, fails_without, files, folder, program, text, tiny, trained};

const IMAGE: &str = "JPEGImages/train_000003.jpg";
const ANNOTATION: &str = "Annotations/train_000003.xml";
const MASK: &str = "SegmentationClass/train_000003.png";

/// Both verbs that train, on data spoilt by `spoil`, name `parts` and make nothing.
fn training_refuses(spoil: impl Fn(&Path), parts: &[&str]) {
    let place = folder();
    let data = data_copy(place.path());
    spoil(&data);
    let out = place.path().join("out");
    for verb in ["train", "compare"] {
        let args = [verb, "--data", text(&data), "--out", text(&out)];
        fails_without(&out, &mut tiny(&args, &[]), 3, parts);
    }
}

#[test]
fn missing_image() {
    training_refuses(|data| std::fs::remove_file(data.join(IMAGE)).unwrap(), &["train_000003.jpg", "no such file"]);
}

#[test]
fn missing_annotation() {
    training_refuses(|data| std::fs::remove_file(data.join(ANNOTATION)).unwrap(), &["train_000003.xml"]);
}

#[test]
fn wrong_label() {
    let spoil = |data: &Path| {
        let path = data.join(ANNOTATION);
        let xml = std::fs::read_to_string(&path).unwrap();
        let (before, after) = xml.split_once("<name>").unwrap();
        let (_, after) = after.split_once("</name>").unwrap();
        std::fs::write(&path, format!("{before}<name>unicorn</name>{after}")).unwrap();
    };
    training_refuses(spoil, &["train_000003.xml", "line ", "unicorn", "known: "]);
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn images(data: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(data.join("JPEGImages")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn truncated_jpeg() {
    let spoil = |data: &Path| images(data).iter().for_each(|image| cut(image));
    training_refuses(spoil, &[".jpg", "cut short"]);
}

#[test]
fn truncated_jpeg_while_inferring_leaves_whole_files_only() {
    let place = folder();
    let data = data_copy(place.path());
    cut(&data.join(IMAGE));
    let (checkpoint, out) = (trained().checkpoint(), place.path().join("seeds"));
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(&data), "--out", text(&out)];
    fails(&mut program(&args), 3, &["train_000003.jpg", "cut short"]);
    // What was finished by then is as an undisturbed run writes it.
    let whole = files(&trained().seeds);
    if out.exists() {
        for (name, bytes) in files(&out) {
            assert!(whole[&name] == bytes, "{name}");
        }
    }
    images(&data).iter().for_each(|image| cut(image));
    let out = place.path().join("none");
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(&data), "--out", text(&out)];
    fails_without(&out, &mut program(&args), 3, &["cut short"]);
}

#[test]
fn mask_of_another_size() {
    let place = folder();
    let data = data_copy(place.path());
    let size = |name: &str| image::image_dimensions(data.join(name)).unwrap();
    let other = files(&data.join("SegmentationClass")).into_keys().map(|name| format!("SegmentationClass/{name}"));
    let other = other.into_iter().find(|name| size(name) != size(MASK)).unwrap();
    std::fs::copy(data.join(other), data.join(MASK)).unwrap();
    evaluation_refuses(&data, &["train_000003.png", "expected the size of", "width x height"]);
}

#[test]
fn missing_mask() {
    let place = folder();
    let data = data_copy(place.path());
    std::fs::remove_file(data.join(MASK)).unwrap();
    evaluation_refuses(&data, &["train_000003.png", "no such file"]);
}

/// `eval` and `compare` refuse; the latter before it trains, and without a trace.
fn evaluation_refuses(data: &Path, parts: &[&str]) {
    fails(&mut program(&["eval", "--seeds", text(&trained().seeds), "--data", text(data)]), 3, parts);
    let place = folder();
    let out = place.path().join("out");
    fails_without(&out, &mut tiny(&["compare", "--data", text(data), "--out", text(&out)], &[]), 3, parts);
}

#[test]
fn seeds_that_do_not_fit() {
    let place = folder();
    let data = data_copy(place.path());
    let seeds = place.path().join("seeds");
    crate::cli::workbench::copy_all(&trained().seeds, &seeds);
    let refuses = |parts: &[&str]| {
        fails(&mut program(&["eval", "--seeds", text(&seeds), "--data", text(&data)]), 3, parts);
    };
    let array = |index: usize| seeds.join(format!("arrays/train_{index:06}.safetensors"));
    let whole = std::fs::read(array(5)).unwrap();
    cut(&array(5));
    refuses(&["train_000005.safetensors", "no readable seed file"]);
    std::fs::remove_file(array(5)).unwrap();
    refuses(&["train_000005.safetensors", "the seeds of image train_000005", "no such file"]);
    std::fs::write(array(5), whole).unwrap();
    let size = |index: usize| image::image_dimensions(data.join(format!("JPEGImages/train_{index:06}.jpg"))).unwrap();
    let other = (0..16).find(|index| size(*index) != size(5)).unwrap();
    std::fs::copy(array(other), array(5)).unwrap();
    let (width, height) = size(5);
    refuses(&["train_000005.safetensors", &format!("expected {height} x {width} as the mask, got ")]);
    fails(&mut program(&["eval", "--seeds", "nowhere", "--data", text(&data)]), 3, &["nowhere", "no such file"]);
}

#[test]
fn classes_in_another_order_than_the_checkpoints() {
    let place = folder();
    let data = data_copy(place.path());
    let path = data.join("classes.txt");
    let mut names: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_string).collect();
    names.reverse();
    std::fs::write(&path, names.join("\n")).unwrap();
    let (checkpoint, out) = (trained().checkpoint(), place.path().join("seeds"));
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(&data), "--out", text(&out)];
    fails_without(&out, &mut program(&args), 3, &["spoilt", "classes of the checkpoint", &names.join(", ")]);
}

#[test]
fn split_and_folder_that_are_not_there() {
    training_refuses(|data| std::fs::remove_dir_all(data).unwrap(), &["spoilt", "no such folder"]);
    let place = folder();
    let (data, out) = (data_copy(place.path()), place.path().join("out"));
    for verb in ["train", "compare"] {
        let args = [verb, "--data", text(&data), "--out", text(&out), "--split", "test"];
        fails_without(&out, &mut tiny(&args, &[]), 3, &["test.txt", "no such file"]);
    }
    std::fs::write(data.join("ImageSets/Segmentation/test.txt"), "\n").unwrap();
    let args = ["train", "--data", text(&data), "--out", text(&out), "--split", "test"];
    fails_without(&out, &mut tiny(&args, &[]), 3, &["test.txt", "empty"]);
}

#[test]
fn fewer_images_than_a_batch() {
    assert!(TINY.contains(&"loader.batch_size=4"));
    let place = folder();
    let (data, out) = (data_copy(place.path()), place.path().join("out"));
    for verb in ["train", "compare"] {
        let args = [verb, "--data", text(&data), "--out", text(&out)];
        let mut command = tiny(&args, &["loader.batch_size=17"]);
        fails_without(&out, &mut command, 2, &["`loader.batch_size`", "takes 17", "has 16"]);
    }
}

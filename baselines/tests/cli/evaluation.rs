//! `wsss eval`: numbers, label maps of any program, tables, and every file that can be wrong.

use std::path::{Path, PathBuf};

use candle_wsss_baselines::data::{Mask, read_mask, write_mask};
use serde_json::Value;

use crate::cli::workbench::{copy_all, data, data_copy, fails, folder, program, succeeds, text, tiny, trained};

fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_string).collect()).collect()
}

fn numbers(json: &str) -> Vec<Value> {
    let json: Value = serde_json::from_str(json).unwrap();
    json["report"]["methods"][0]["repeats"][0]["numbers"].as_array().unwrap().clone()
}

#[test]
fn three_numbers_with_intervals_and_their_tables() {
    let place = folder();
    let (csv, curve) = (place.path().join("numbers.csv"), place.path().join("curve.csv"));
    let args = ["eval", "--seeds", text(&trained().seeds), "--data", text(data())];
    let more = ["--csv", text(&csv), "--curve-csv", text(&curve), "--per-class"];
    let table = succeeds(program(&args).args(more));
    for part in ["SegmentationClass", "CRF: none", "best: the background score", "fixed: 0.26", "held out: every image"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    for (row, start) in ["best", "fixed", "held out"].iter().zip(table.lines().skip(6)) {
        assert!(start.starts_with(row) && start.contains('['), "{table}");
    }
    assert!(!table.contains("difference"), "{table}");
    let json = succeeds(program(&args).arg("--json"));
    let numbers = numbers(&json);
    let rules: Vec<&str> = numbers.iter().map(|number| number["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["best", "fixed", "held_out"]);
    let value = |index: usize| numbers[index]["measures"]["mean_iou"].as_f64().unwrap();
    for (index, number) in numbers.iter().enumerate() {
        let end = |name: &str| number["interval"][name].as_f64().unwrap();
        assert!(end("lower") <= value(index) && value(index) <= end("upper"), "{number}");
        assert_eq!(end("value"), value(index));
        // The best score of the whole split cannot be beaten by one score per part that was chosen elsewhere by much,
        // and never by one for all.
        assert!(value(1) <= value(0));
    }
    assert_eq!(numbers[2]["scores"].as_array().unwrap().len(), 2);
    // Five classes and the mean, under three rules.
    let csv = lines(&csv);
    assert_eq!(csv.len(), 1 + 3 * 6);
    assert_eq!(csv[0][..4], ["rule", "background_score", "class", "iou"]);
    let mean = csv.iter().find(|line| line[0] == "held out" && line[2] == "mean").unwrap();
    assert_eq!(mean[3].parse::<f64>().unwrap(), value(2));
    assert_eq!(mean[1].split(' ').count(), 2);
    let (curve, whole): (_, Value) = (lines(&curve), serde_json::from_str(&json).unwrap());
    assert_eq!(curve.len(), 1 + whole["report"]["thresholds"].as_array().unwrap().len());
    let fixed = curve.iter().find(|line| line[2] == "0.26").unwrap();
    assert_eq!(fixed[3].parse::<f64>().unwrap(), value(1));
}

#[test]
fn files_that_are_there_are_not_written_over() {
    let place = folder();
    let csv = place.path().join("numbers.csv");
    std::fs::write(&csv, "mine").unwrap();
    let args = ["eval", "--seeds", text(&trained().seeds), "--data", text(data()), "--csv", text(&csv)];
    fails(&mut program(&args), 2, &["numbers.csv", "exists already"]);
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), "mine");
}

#[test]
fn label_maps_of_seeds_are_what_the_curve_says() {
    let place = folder();
    // The PNG files were written at the fixed score; copied flat they are any program's.
    let flat = place.path().join("flat");
    copy_all(&trained().seeds.join("png"), &flat);
    let seeds = ["eval", "--seeds", text(&trained().seeds), "--data", text(data()), "--json"];
    let fixed = numbers(&succeeds(&mut program(&seeds)))[1]["measures"].clone();
    for folder in [&trained().seeds, &flat] {
        let args = ["eval", "--predictions", text(folder), "--data", text(data())];
        let of = numbers(&succeeds(program(&args).arg("--json")));
        assert_eq!((of.len(), of[0]["rule"].as_str()), (1, Some("label_maps")));
        // Scores in files have half precision; labels were made of the same ones or of full ones.
        let (got, want) = (of[0]["measures"]["mean_iou"].as_f64().unwrap(), fixed["mean_iou"].as_f64().unwrap());
        assert!((got - want).abs() < 5e-3, "{got} and {want}");
        let csv = place.path().join(format!("{}.csv", folder.file_name().unwrap().to_str().unwrap()));
        let table = succeeds(program(&args).args(["--per-class", "--csv", text(&csv)]));
        assert!(table.contains("label maps as given") && !table.contains("best:"), "{table}");
        assert!(!table.contains("fixed") && !table.contains("held out"), "{table}");
        assert_eq!(lines(&csv).len(), 1 + 6);
    }
    let truth = data().join("SegmentationClass");
    let perfect = ["eval", "--predictions", text(&truth), "--data", text(data()), "--json"];
    // Void is no prediction, but void pixels of the ground truth are not looked at.
    assert_eq!(numbers(&succeeds(&mut program(&perfect)))[0]["measures"]["pixel_accuracy"], 1.0);
}

fn predictions(place: &Path) -> PathBuf {
    let flat = place.join("flat");
    copy_all(&trained().seeds.join("png"), &flat);
    flat
}

fn refuses(folder: &Path, parts: &[&str]) {
    fails(&mut program(&["eval", "--predictions", text(folder), "--data", text(data())]), 3, parts);
}

#[test]
fn missing_label_maps_are_counted_and_named() {
    let place = folder();
    let flat = predictions(place.path());
    let remove = |index: usize| std::fs::remove_file(flat.join(format!("train_{index:06}.png"))).unwrap();
    remove(3);
    refuses(&flat, &["train_000003.png", "the label maps of image train_000003", "no such file"]);
    (4..12).for_each(remove);
    refuses(&flat, &["of 16 images, 9 are missing: train_000003, train_000004", "train_000007 and 4 more"]);
    refuses(&place.path().join("nowhere"), &["nowhere", "no such file"]);
    let seeds = place.path().join("seeds");
    copy_all(&trained().seeds, &seeds);
    for index in 0..16 {
        std::fs::remove_file(seeds.join(format!("arrays/train_{index:06}.safetensors"))).unwrap();
    }
    let args = ["eval", "--seeds", text(&seeds), "--data", text(data())];
    fails(&mut program(&args), 3, &["the seeds of 16 images, 16 are missing", "and 11 more"]);
}

#[test]
fn label_maps_that_do_not_fit() {
    let place = folder();
    let flat = predictions(place.path());
    let path = flat.join("train_000002.png");
    let good = read_mask(&path).unwrap();
    let write = |mask: &Mask| write_mask(&path, mask).unwrap();
    let truth = read_mask(data().join("SegmentationClass/train_000002.png")).unwrap();
    let at = truth.data.iter().position(|label| *label == 0).unwrap();
    for value in [5u8, 254, 255] {
        let mut bad = good.clone();
        bad.data[at] = value;
        write(&bad);
        let pixel = format!("pixel ({}, {}) has value {value}", at % good.width, at / good.width);
        refuses(&flat, &["train_000002.png", &pixel, "1 to 4 (classes)"]);
    }
    let (width, height) = (good.width + 1, good.height);
    write(&Mask { width, height, data: vec![0; width * height] });
    let sides = format!("expected {} x {height} (width x height) as the mask, is {width} x {height}", good.width);
    refuses(&flat, &["train_000002.png", &sides]);
    let bytes = std::fs::read(flat.join("train_000001.png")).unwrap();
    for len in (0..bytes.len()).step_by(97) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        refuses(&flat, &["train_000002.png"]);
    }
    // Colours that are none of the palette's; those that are would be read.
    let photograph = image::RgbImage::from_pixel(good.width as u32, good.height as u32, image::Rgb([1, 2, 3]));
    photograph.save(&path).unwrap();
    refuses(&flat, &["train_000002.png", "pixel (0, 0)"]);
}

#[test]
fn pixels_left_open() {
    let place = folder();
    let flat = predictions(place.path());
    let path = flat.join("train_000002.png");
    // Labelled as the ground truth, so that there is something right to leave open.
    let truth = read_mask(data().join("SegmentationClass/train_000002.png")).unwrap();
    let mut mask = truth.clone();
    mask.data.iter_mut().filter(|label| **label == 255).for_each(|label| *label = 0);
    write_mask(&path, &mask).unwrap();
    let accuracy = |open: &str| {
        let setting = format!("eval.open_pixels={open}");
        let args = ["eval", "--predictions", text(&flat), "--data", text(data()), "--json", "--set", &setting];
        let json: Value = serde_json::from_str(&succeeds(&mut program(&args))).unwrap();
        let stage = json["report"]["protocol"]["stage"].as_str().unwrap().to_string();
        (json["report"]["methods"][0]["repeats"][0]["pixel_accuracy_at_best"].as_f64().unwrap(), stage)
    };
    let whole = accuracy("background").0;
    assert_eq!(accuracy("ignored").0, whole);
    // A pixel that was right, and no background, is wrong as background and gone when it is not judged.
    for (label, truth) in mask.data.iter_mut().zip(&truth.data) {
        *label = if *label == *truth && *truth != 0 { 255 } else { *label };
    }
    assert!(mask.data.contains(&255), "the case shows nothing");
    write_mask(&path, &mask).unwrap();
    let (background, ignored) = (accuracy("background"), accuracy("ignored"));
    assert!(background.0 < whole && background.1.contains("count as background"), "{background:?}, {whole}");
    assert!(ignored.0 > background.0 && ignored.1.contains("not judged"), "{ignored:?}");
    refuses(&flat, &["train_000002.png", "has value 255"]);
}

#[test]
fn what_the_program_says_of_its_own_label_maps() {
    let place = folder();
    let (seeds, crf) = (place.path().join("seeds"), place.path().join("crf"));
    let checkpoint = trained().checkpoint();
    let both = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(data()), "--out", text(&seeds), "--crf"];
    succeeds(&mut program(&both));
    let alone = ["crf", "--seeds", text(&trained().seeds), "--data", text(data()), "--out", text(&crf)];
    succeeds(program(&alone).args(["--alpha", "4"]));
    let table =
        |folder: &Path| succeeds(&mut program(&["eval", "--predictions", text(folder), "--data", text(data())]));
    let plain = table(&seeds.join("png"));
    assert!(plain.contains("background score 0.26") && plain.contains("CRF: none"), "{plain}");
    for folder in [seeds.join("masks"), crf.clone(), crf.join("masks")] {
        let refined = table(&folder);
        assert!(!refined.contains("background score") && refined.contains("power (alpha 4"), "{refined}");
    }
    refuses(&seeds, &["label maps in png and in masks"]);
}

#[test]
fn ground_truth_in_one_part_only() {
    let place = folder();
    let data = data_copy(place.path());
    // Image i is in part i mod 2.
    for index in (0..16).step_by(2) {
        let path = data.join(format!("SegmentationClass/train_{index:06}.png"));
        let mask = read_mask(&path).unwrap();
        write_mask(&path, &Mask { data: vec![255; mask.data.len()], ..mask }).unwrap();
    }
    for absent in ["skipped", "as_zero"] {
        let setting = format!("eval.absent_class={absent}");
        let args = ["eval", "--seeds", text(&trained().seeds), "--data", text(&data), "--set", &setting];
        let table = succeeds(&mut program(&args));
        assert!(table.contains("held out: no number, the images outside of one part have no ground truth"), "{table}");
        let rules: Vec<Value> =
            numbers(&succeeds(program(&args).arg("--json"))).iter().map(|number| number["rule"].clone()).collect();
        assert_eq!(rules, ["best", "fixed"]);
    }
    let out = place.path().join("out");
    let args = ["compare", "--data", text(&data), "--out", text(&out), "--repeats", "1", "--regularizers", "none,hsc"];
    let stdout = succeeds(&mut tiny(&args, &["eval.absent_class=skipped"]));
    assert!(stdout.contains("held out: no number") && !stdout.contains("mIoU held out"), "{stdout}");
}

#[test]
fn one_folder_or_the_other() {
    let place = folder();
    let data_text = text(data());
    let both = ["eval", "--seeds", "a", "--predictions", "b", "--data", data_text];
    let output = program(&both).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(program(&["eval", "--data", data_text]).output().unwrap().status.code(), Some(2));
    let score = ["eval", "--predictions", "b", "--data", data_text, "--background-score", "0.3"];
    assert_eq!(program(&score).output().unwrap().status.code(), Some(2));
    let seeds = place.path().join("seeds");
    copy_all(&trained().seeds.join("png"), &seeds.join("png"));
    copy_all(&trained().seeds.join("png"), &seeds.join("masks"));
    refuses(&seeds, &["label maps in png and in masks"]);
    let refined = seeds.join("masks");
    let masks = ["eval", "--predictions", text(&refined), "--data", data_text];
    let manifest = r#"{"infer": {"scales": [0.5, 1.0], "flip": true}, "crf": {"iterations": 10}}"#;
    std::fs::write(seeds.join("seeds.json"), manifest).unwrap();
    let table = succeeds(&mut program(&masks));
    assert!(table.contains("CRF: iterations 10") && table.contains("scales 0.5/1 and mirrored"), "{table}");
    // Named by where one is.
    let here = ["eval", "--predictions", ".", "--data", data_text];
    let table = succeeds(program(&here).current_dir(&refined));
    assert!(table.contains("CRF: iterations 10"), "{table}");
    let table = succeeds(program(&here).current_dir(seeds.join("png")));
    assert!(table.contains("CRF: none,"), "{table}");
    std::fs::write(seeds.join("seeds.json"), "{").unwrap();
    fails(&mut program(&masks), 3, &["seeds.json", "expected a JSON object"]);
}

#[test]
fn absent_classes_are_counted_both_ways() {
    let place = folder();
    let data = data_copy(place.path());
    // A class more than any image has.
    let classes = std::fs::read_to_string(data.join("classes.txt")).unwrap();
    std::fs::write(data.join("classes.txt"), format!("{}\nunicorn\n", classes.trim_end())).unwrap();
    let args = ["eval", "--seeds", text(&trained().seeds), "--data", text(&data)];
    let table = succeeds(&mut program(&args));
    assert!(table.contains("absent classes: count as IoU 0"), "{table}");
    let note = table.lines().find(|line| line.contains("unicorn")).unwrap();
    assert!(note.contains("left out of the mean, mIoU is best "), "{note}");
    let numbers = numbers(&succeeds(program(&args).arg("--json")));
    for number in &numbers {
        let measures = &number["measures"];
        let (zero, skipped) = (&measures["mean_iou_absent_as_zero"], &measures["mean_iou_absent_skipped"]);
        assert_eq!(&measures["mean_iou"], zero);
        let ratio = skipped.as_f64().unwrap() / zero.as_f64().unwrap();
        assert!((ratio - 6.0 / 5.0).abs() < 1e-6, "{ratio}");
    }
    let table = succeeds(program(&args).args(["--set", "eval.absent_class=skipped"]));
    let note = table.lines().find(|line| line.contains("unicorn")).unwrap();
    assert!(note.contains("With such classes counted as 0"), "{note}");
}

#[test]
fn comparisons_are_scored_on_a_list_of_their_own() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["compare", "--data", text(data()), "--out", text(&out), "--repeats", "1", "--regularizers", "none,hsc"];
    let stdout = succeeds(tiny(&args, &[]).args(["--eval-split", "val"]));
    for part in [" val, 4 images", "trained with image-level labels of split train", "held out"] {
        assert!(stdout.contains(part), "{part} is not in\n{stdout}");
    }
    let checkpoint = |run: &Path| std::fs::read(run.join("checkpoint.safetensors")).unwrap();
    assert!(checkpoint(&out.join("seam+hsc-r0")) == checkpoint(&trained().run), "trained on the same images");
    assert_eq!(std::fs::read_dir(out.join("seam-r0/seeds/arrays")).unwrap().count(), 4);
    // Method, rule, and the mean with every class.
    let csv = lines(&out.join("results.csv"));
    assert_eq!(csv.len(), 1 + 2 * 3 * 6);
    let differences = |name: &str| csv.iter().filter(|line| line[2] == name && !line[9].is_empty()).count();
    assert_eq!((differences("seam"), differences("seam+hsc")), (0, 3 * 6));
    let json: Value = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    assert!(json["summary"][1]["cross_fitted_difference"]["mean"].is_f64());
    assert_eq!(json["report"]["methods"][0]["repeats"][0]["confusion_at_best"].as_array().unwrap().len(), 5);
    let nowhere = place.path().join("nowhere");
    let args = ["compare", "--data", text(data()), "--out", text(&nowhere), "--eval-split", "test"];
    fails(&mut tiny(&args, &[]), 3, &["test"]);
    assert!(!nowhere.exists());
}

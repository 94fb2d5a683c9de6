//! `wsss data check`: a table and an exit code.

use crate::cli::workbench::{data, data_copy, fails, folder, program, succeeds, text};

#[test]
fn a_data_set_that_trains() {
    let table = succeeds(&mut program(&["data", "check", "--data", text(data())]));
    for part in [
        "train: PASCAL VOC layout, 4 classes\n",
        "what is there\n  list      ImageSets/Segmentation/train.txt: 16 images\n  images    16 of 16 readable; ",
        "annotations (XML): 16 of 16; ",
        "\nproblems\n  none\n",
        "\n  train EPS (needs saliency)        yes\n",
        "\n  eval, compare (need masks)        yes\n",
    ] {
        assert!(table.contains(part), "`{part}` is not in:\n{table}");
    }
    let json = succeeds(&mut program(&["data", "check", "--data", text(data()), "--split", "val", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["images"]["listed"].as_u64(), json["masks"]["there"].as_u64()), (Some(4), Some(4)));
    assert_eq!(json["works"][0], serde_json::json!({ "what": "train", "works": true, "reason": null }));
}

#[test]
fn one_that_does_not_is_told_in_full_and_exits_with_3() {
    let place = folder();
    let data = data_copy(place.path());
    std::fs::remove_file(data.join("JPEGImages/train_000003.jpg")).unwrap();
    std::fs::write(data.join("JPEGImages/train_000004.jpg"), "none").unwrap();
    std::fs::remove_file(data.join("Annotations/train_000005.xml")).unwrap();
    for json in [&["--json"][..], &[]] {
        let output = program(&["data", "check", "--data", text(&data)]).args(json).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(3), "{stdout}{stderr}");
        for part in ["train_000003.jpg", "train_000004.jpg", "train_000005.xml", "images missing"] {
            assert!(stdout.contains(part), "`{part}` is not in:\n{stdout}");
        }
        assert!(stderr.ends_with("spoilt: no training on split `train`: images missing: 1\n"), "{stderr}");
    }
    // Masks are for evaluation.
    let place = folder();
    let data = data_copy(place.path());
    std::fs::remove_dir_all(data.join("SegmentationClass")).unwrap();
    let table = succeeds(&mut program(&["data", "check", "--data", text(&data)]));
    assert!(table.contains("eval, compare (need masks)        no: no masks in SegmentationClass\n"), "{table}");
}

#[test]
fn nothing_to_look_over() {
    let place = folder();
    let check = |data: &str, more: &[&str], code: i32, parts: &[&str]| {
        fails(program(&["data", "check", "--data", data]).args(more), code, parts);
    };
    check("/nowhere/at/all", &[], 3, &["/nowhere/at/all", "no such folder"]);
    check(text(place.path()), &[], 3, &["expected a data set"]);
    check(text(data()), &["--split", "test"], 3, &["test.txt", "there are: train, trainval, val"]);
}

//! `wsss seeds`: shares, runs taken up again, and what may not be mixed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_wsss_baselines::infer::read_seeds;
use serde_json::Value;

use crate::cli::workbench::{
    assert_same_files, copy_all, data, data_copy, fails, fails_without, files, folder, program, succeeds, talkative,
    text, tiny, trained,
};

const MANIFEST: &str = "seeds.json";

fn args(checkpoint: &Path, data: &Path, out: &Path) -> Vec<String> {
    ["seeds", "--checkpoint", text(checkpoint), "--data", text(data), "--out", text(out)].map(str::to_string).into()
}

/// The program on the shared checkpoint and data.
fn seeds(out: &Path, more: &[&str]) -> assert_cmd::Command {
    let checkpoint = trained().checkpoint();
    let args = args(&checkpoint, data(), out);
    program(&args.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn shares_one_after_another_are_the_whole() {
    let place = folder();
    let out = place.path().join("seeds");
    for (share, count) in [("2/3", 5), ("1/3", 6), ("3/3", 5)] {
        let said = succeeds(&mut seeds(&out, &["--shard", share]));
        assert_eq!(said, format!("wrote seeds of {count} images, share {share}, to {}\n", out.display()));
    }
    assert_same_files(&out, &trained().seeds, |_| true);
    // What is there is not written over, by a share neither.
    fails(&mut seeds(&out, &["--shard", "2/3"]), 2, &["train_000001", "exists already"]);
    fails(&mut seeds(&out, &[]), 2, &[text(&out), "exists already"]);
    succeeds(&mut seeds(&out, &["--shard", "2/3", "--resume"]));
    assert_same_files(&out, &trained().seeds, |_| true);
}

#[test]
fn shares_at_the_same_time_are_the_whole() {
    let place = folder();
    let out = place.path().join("deep/er/seeds");
    let checkpoint = trained().checkpoint();
    let start = |share: usize| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsss"));
        command.arg("--quiet").args(args(&checkpoint, data(), &out)).args(["--shard", &format!("{share}/4")]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let shares: Vec<_> = (1..=4).map(start).collect();
    for share in shares {
        let output = share.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_same_files(&out, &trained().seeds, |_| true);
}

#[test]
fn shares_that_make_no_sense() {
    let place = folder();
    let out = place.path().join("seeds");
    for share in ["3/2", "0/4", "0/0", "1", "1/", "/2", "a/b", "-1/2", "1/2/3", ""] {
        let output = seeds(&out, &[&format!("--shard={share}")]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{share}: {stderr}");
        assert!(stderr.contains("expected I/N with I from 1 to N, such as 2/4"), "{share}: {stderr}");
    }
    assert!(!out.exists());
    // More shares than images are none the less shares.
    let said = succeeds(&mut seeds(&out, &["--shard", "17/20"]));
    assert!(said.contains("seeds of 0 images"), "{said}");
}

#[test]
fn images_at_a_time_and_threads_do_not_show() {
    let place = folder();
    for (threads, jobs) in [("1", "1"), ("3", "2"), ("3", "9")] {
        let out = place.path().join(format!("{threads}-{jobs}"));
        succeeds(seeds(&out, &["--jobs", jobs]).env("RAYON_NUM_THREADS", threads));
        assert_same_files(&out, &trained().seeds, |_| true);
    }
    fails_without(&place.path().join("none"), &mut seeds(&place.path().join("none"), &["--jobs", "0"]), 2, &["--jobs"]);
}

#[test]
fn what_was_made_with_something_else_is_not_gone_on_with() {
    let place = folder();
    let out = place.path().join("seeds");
    copy_all(&trained().seeds, &out);
    std::fs::remove_file(out.join("arrays/train_000002.safetensors")).unwrap();
    let before = files(&out);
    let refuses = |command: &mut assert_cmd::Command, parts: &[&str]| {
        let parts = [&[text(&out), "belongs to another run"], parts].concat();
        fails(command.arg("--resume"), 2, &parts);
        assert!(files(&out) == before, "something was written");
    };
    let other = place.path().join("run");
    succeeds(&mut tiny(&["train", "--data", text(data()), "--out", text(&other), "--set", "seed=2"], &[]));
    let checkpoint = other.join("checkpoint.safetensors");
    let of_other = args(&checkpoint, data(), &out);
    refuses(&mut program(&of_other.iter().map(String::as_str).collect::<Vec<_>>()), &["`checkpoint`", "crc32c"]);
    refuses(&mut seeds(&out, &["--split", "val"]), &["`images`", "is 16, now it is 4"]);
    refuses(&mut seeds(&out, &["--background-score", "0.5"]), &["`background_score`", "now it is 0.5"]);
    refuses(&mut seeds(&out, &["--set", "infer.flip=false"]), &["`infer.flip`", "is true, now it is false"]);
    refuses(&mut seeds(&out, &["--no-png"]), &["`background_score`"]);
    refuses(&mut seeds(&out, &["--shard", "1/2", "--set", "infer.scales=[1.0]"]), &["`infer.scales`"]);

    // Other labels under the same names.
    let spoilt = data_copy(place.path());
    let annotation = |index: usize| spoilt.join(format!("Annotations/train_{index:06}.xml"));
    let text_of = |index| std::fs::read_to_string(annotation(index)).unwrap();
    let names = |text: &str| -> Vec<String> {
        text.split("<name>").skip(1).map(|rest| rest.split('<').next().unwrap().to_string()).collect()
    };
    let differing = (1..16).find(|index| names(&text_of(*index)) != names(&text_of(0))).unwrap();
    std::fs::copy(annotation(differing), annotation(0)).unwrap();
    let checkpoint = trained().checkpoint();
    let of_spoilt = args(&checkpoint, &spoilt, &out);
    refuses(&mut program(&of_spoilt.iter().map(String::as_str).collect::<Vec<_>>()), &["`list`"]);
}

#[test]
fn folders_of_something_else() {
    let place = folder();
    let out = place.path().join("seeds");
    copy_all(&trained().seeds, &out);
    std::fs::remove_file(out.join(MANIFEST)).unwrap();
    for more in [&["--resume"][..], &["--shard", "1/2"], &[]] {
        fails(&mut seeds(&out, more), 2, &[text(&out), "exists already"]);
    }
    for damaged in ["", "{}", "seeds", "{\"format\":\"candle-wsss-seeds/9\"}"] {
        std::fs::write(out.join(MANIFEST), damaged).unwrap();
        fails(&mut seeds(&out, &["--resume"]), 3, &["seeds.json", "no manifest of seeds"]);
    }
}

#[test]
fn parts_that_are_not_wanted_are_not_written() {
    let place = folder();
    let out = |name: &str| place.path().join(name);
    succeeds(&mut seeds(&out("arrays"), &["--no-png"]));
    assert!(files(&out("arrays")).keys().all(|name| name == MANIFEST || name.starts_with("arrays/")));
    assert_same_files(&out("arrays"), &trained().seeds, |name| name.starts_with("arrays/"));
    succeeds(&mut seeds(&out("png"), &["--no-arrays"]));
    assert_same_files(&out("png"), &trained().seeds, |name| name.starts_with("png/"));
    assert!(!out("png").join("arrays").exists());
    // The last image's is all that says it is done.
    std::fs::remove_file(out("png").join("png/train_000003.png")).unwrap();
    succeeds(&mut seeds(&out("png"), &["--no-arrays", "--resume"]));
    assert_same_files(&out("png"), &trained().seeds, |name| name.starts_with("png/"));
    let none = out("none");
    fails_without(&none, &mut seeds(&none, &["--no-arrays", "--no-png"]), 2, &["leave nothing to write", "--crf"]);
    for setting in ["train.steps=3", "baseline.backbone.width_divisor=3", "seed=1"] {
        fails_without(&none, &mut seeds(&none, &["--set", setting]), 2, &[setting, "`infer` and `crf`"]);
    }
    fails_without(&none, &mut seeds(&none, &["--set", "infer.scales=[-1.0]"]), 2, &["`infer.scales`", "-1"]);
}

#[test]
fn arrays_for_numpy_are_the_scores() {
    let place = folder();
    let (out, npy) = (place.path().join("seeds"), place.path().join("deep/er/npy"));
    succeeds(&mut seeds(&out, &["--no-png", "--npy", text(&npy)]));
    assert_eq!(files(&npy).len(), 16);
    for (name, bytes) in files(&npy) {
        let array = out.join("arrays").join(name.replace(".npy", ".safetensors"));
        let maps = read_seeds(&array).unwrap();
        for class in maps.classes() {
            let map: Vec<u8> = maps.map(*class).unwrap().iter().flat_map(|score| score.to_le_bytes()).collect();
            assert!(bytes.windows(map.len()).any(|window| window == map), "{name}, class {class}");
        }
    }
    // In the folder for NumPy too, nothing is written over, and what is lost comes back.
    let other = place.path().join("other");
    fails_without(&other, &mut seeds(&other, &["--npy", text(&npy)]), 2, &["train_000000.npy", "exists already"]);
    let before = files(&npy);
    std::fs::remove_file(npy.join("train_000004.npy")).unwrap();
    succeeds(&mut seeds(&out, &["--no-png", "--npy", text(&npy), "--resume"]));
    assert!(files(&npy) == before);
}

#[test]
fn labels_are_those_of_the_arrays() {
    let json: Value = serde_json::from_slice(&std::fs::read(trained().seeds.join(MANIFEST)).unwrap()).unwrap();
    let score = json["background_score"].as_f64().unwrap() as f32;
    for index in 0..16 {
        let path =
            |part: &str, kind: &str| -> PathBuf { trained().seeds.join(format!("{part}/train_{index:06}.{kind}")) };
        let maps = read_seeds(&path("arrays", "safetensors")).unwrap();
        let mask = candle_wsss_baselines::data::read_mask(path("png", "png")).unwrap();
        assert!(mask.data == maps.labels(score), "image {index}");
    }
}

#[test]
fn a_small_image_is_named_and_does_not_end_the_run() {
    let place = folder();
    let data = data_copy(place.path());
    let run = place.path().join("run");
    let settings = ["baseline.backbone={type=\"squeezenet1_0\", width_divisor=8}"];
    succeeds(&mut tiny(&["train", "--data", text(&data), "--out", text(&run)], &settings));
    let small = |side: u32| {
        let image = image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 40]));
        image.save(data.join("JPEGImages/train_000003.jpg")).unwrap();
    };
    let (checkpoint, out) = (run.join("checkpoint.safetensors"), place.path().join("seeds"));
    small(24);
    let args = args(&checkpoint, &data, &out);
    let output = talkative().args(&args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let note = "train_000003: 24 x 24 pixels are too few for the network at the scales [0.5]; ";
    assert!(stderr.contains(note), "{stderr}");
    assert_eq!(files(&out).len(), 33);
    std::fs::remove_dir_all(&out).unwrap();
    small(8);
    let parts = ["train_000003", "8 x 8 pixels", "at every scale", "8 x 8 at 1", "leave the image out"];
    fails(&mut program(&args.iter().map(String::as_str).collect::<Vec<_>>()), 3, &parts);
}

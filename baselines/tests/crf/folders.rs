//! Folders of refined seeds: several processes at once, taken up from elsewhere, and what a failure leaves.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::workbench::{
    assert_same_files, copy_all, data, data_copy, fails, files, folder, program, succeeds, text, trained,
};

#[test]
fn shares_at_the_same_time_are_the_whole() {
    let place = folder();
    let (whole, out) = (place.path().join("whole"), place.path().join("deep/er/masks"));
    let args = |out| ["crf", "--seeds", text(&trained().seeds), "--data", text(data()), "--out", text(out)];
    succeeds(&mut program(&args(&whole)));
    for _ in 0..3 {
        let start = |share: usize| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_wsss"));
            command.arg("--quiet").args(args(&out)).args(["--shard", &format!("{share}/4")]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let shares: Vec<_> = (1..=4).map(start).collect();
        for share in shares {
            let output = share.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_same_files(&out, &whole, |_| true);
        std::fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn where_the_seeds_are_is_no_matter_but_what_they_are() {
    let place = folder();
    let (seeds, out) = (place.path().join("seeds"), place.path().join("out"));
    copy_all(&trained().seeds, &seeds);
    // Something that is not known to this program, and that TOML knows no word for.
    let manifest = seeds.join("seeds.json");
    let mut fields: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    fields["note"] = Value::Null;
    fields["seed"] = Value::from(u64::MAX);
    std::fs::write(&manifest, fields.to_string()).unwrap();
    let crf =
        |seeds: &str| program(&["crf", "--seeds", seeds, "--data", text(data()), "--out", text(&out), "--resume"]);
    succeeds(&mut crf(text(&seeds)));
    let before = files(&out);
    std::fs::remove_file(out.join("masks/train_000003.png")).unwrap();
    succeeds(&mut crf(&format!("{}/../seeds/", text(&seeds))));
    let moved = place.path().join("moved");
    std::fs::rename(&seeds, &moved).unwrap();
    succeeds(&mut crf(text(&moved)));
    assert!(files(&out) == before);
    let parts = ["crf.json", "belongs to another run", "`seeds_made_with.note` is null, now it is not set"];
    fails(&mut crf(text(&trained().seeds)), 2, &parts);

    // Other labels under the same names.
    let spoilt = data_copy(place.path());
    let annotation = |index: usize| spoilt.join(format!("Annotations/train_{index:06}.xml"));
    let labels = |index| {
        let text = std::fs::read_to_string(annotation(index)).unwrap();
        text.split("<name>").skip(1).map(|rest| rest.split('<').next().unwrap().to_string()).collect::<Vec<_>>()
    };
    let differing = (1..16).find(|index| labels(*index) != labels(0)).unwrap();
    std::fs::copy(annotation(differing), annotation(0)).unwrap();
    let of_spoilt = ["crf", "--seeds", text(&moved), "--data", text(&spoilt), "--out", text(&out), "--resume"];
    fails(&mut program(&of_spoilt), 2, &["belongs to another run", "`list`"]);
}

#[test]
fn seeds_that_say_nothing_are_told_by_their_place() {
    let place = folder();
    let (seeds, out) = (place.path().join("seeds"), place.path().join("out"));
    copy_all(&trained().seeds, &seeds);
    std::fs::remove_file(seeds.join("seeds.json")).unwrap();
    let crf =
        |seeds: &str| program(&["crf", "--seeds", seeds, "--data", text(data()), "--out", text(&out), "--resume"]);
    succeeds(&mut crf(text(&seeds)));
    succeeds(&mut crf(&format!("{}/../seeds", text(&seeds))));
    let moved = place.path().join("moved");
    std::fs::rename(&seeds, &moved).unwrap();
    fails(&mut crf(text(&moved)), 2, &["`seeds`", "moved"]);
}

#[test]
fn the_first_of_several_failures_is_reported() {
    let place = folder();
    let (seeds, out) = (place.path().join("seeds"), place.path().join("out"));
    copy_all(&trained().seeds, &seeds);
    for image in ["train_000002", "train_000003", "train_000004", "train_000005"] {
        std::fs::write(seeds.join(format!("arrays/{image}.safetensors")), "no arrays").unwrap();
    }
    for (threads, jobs) in [("1", "1"), ("4", "4"), ("4", "4"), ("2", "100000000")] {
        let mut crf =
            program(&["crf", "--seeds", text(&seeds), "--data", text(data()), "--out", text(&out), "--resume"]);
        fails(crf.env("RAYON_NUM_THREADS", threads).args(["--jobs", jobs]), 3, &["train_000002"]);
    }
}

#[test]
fn a_failure_leaves_what_it_did_not_make() {
    let place = folder();
    let (seeds, out) = (place.path().join("seeds"), place.path().join("out"));
    copy_all(&trained().seeds, &seeds);
    std::fs::write(seeds.join("arrays/train_000000.safetensors"), "no arrays").unwrap();
    let crf = |more: &[&str]| {
        let mut crf = program(&["crf", "--seeds", text(&seeds), "--data", text(data()), "--out", text(&out)]);
        crf.env("RAYON_NUM_THREADS", "1").args(more);
        crf
    };
    fails(&mut crf(&[]), 3, &["train_000000"]);
    assert!(!out.exists());
    std::fs::create_dir(&out).unwrap();
    fails(&mut crf(&[]), 3, &["train_000000"]);
    assert!(out.is_dir() && files(&out).is_empty() && !out.join("masks").exists());
    fails(&mut crf(&["--shard", "1/16"]), 3, &["train_000000"]);
    assert!(out.join("crf.json").exists() && out.join("masks").exists(), "other shares count on them");
}

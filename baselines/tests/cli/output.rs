//! Outputs that are there already are left as they are; what is written goes to stdout, and stderr stays empty when asked to.

use crate::cli::workbench::{copy_all, data, fails, files, folder, program, succeeds, text, tiny, trained};

#[test]
fn existing_outputs_are_refused_and_left_alone() {
    let place = folder();
    let taken = place.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("thesis.tex"), "years of work").unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "years of work").unwrap();
    let checkpoint = trained().checkpoint();
    let before = files(place.path());
    for out in [&taken, &file] {
        let (data, out) = (text(data()), text(out));
        let parts = [out, "exists already"];
        for resume in [&[][..], &["--resume"]] {
            let train = [&["train", "--data", data, "--out", out], resume].concat();
            fails(&mut tiny(&train, &[]), 2, &parts);
            let compare = [&["compare", "--data", data, "--out", out], resume].concat();
            fails(&mut tiny(&compare, &[]), 2, &parts);
            let synth = [&["compare", "--synth", "--out", out], resume].concat();
            fails(&mut tiny(&synth, &[]), 2, &parts);
            let seeds = [&["seeds", "--checkpoint", text(&checkpoint), "--data", data, "--out", out], resume].concat();
            fails(&mut program(&seeds), 2, &parts);
        }
        fails(&mut tiny(&["pretrain", "--data", data, "--out", out], &[]), 2, &parts);
        // Without data of its own: refused before it is made.
        fails(&mut tiny(&["pretrain", "--out", out], &[]), 2, &parts);
        fails(&mut program(&["synth", out]), 2, &parts);
    }
    assert!(files(place.path()) == before, "something was written");
}

#[test]
fn an_empty_folder_is_as_good_as_none() {
    let place = folder();
    let out = place.path().join("deep/er/out");
    std::fs::create_dir_all(&out).unwrap();
    succeeds(&mut tiny(&["train", "--data", text(data()), "--out", text(&out)], &[]));
    let names: Vec<String> = files(&out).into_keys().collect();
    assert_eq!(
        names,
        ["checkpoint.safetensors", "config.toml", "metrics.jsonl", "report.html", "tb/events.out.tfevents.0.wsss"]
    );
}

#[test]
fn a_folder_that_cannot_be_made() {
    let place = folder();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let out = file.join("out");
    fails(&mut tiny(&["train", "--data", text(data()), "--out", text(&out)], &[]), 1, &[text(&out)]);
    fails(&mut tiny(&["pretrain", "--data", text(data()), "--out", text(&out)], &[]), 1, &[text(&file)]);
}

#[test]
fn seeds_of_a_broken_run_are_taken_up() {
    let place = folder();
    let seeds = place.path().join("seeds");
    copy_all(&trained().seeds, &seeds);
    for lost in ["arrays/train_000002.safetensors", "arrays/train_000007.safetensors", "png/train_000007.png"] {
        std::fs::remove_file(seeds.join(lost)).unwrap();
    }
    let checkpoint = trained().checkpoint();
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(data()), "--out", text(&seeds)];
    fails(&mut program(&args), 2, &["exists already"]);
    succeeds(program(&args).arg("--resume"));
    assert!(files(&seeds) == files(&trained().seeds));
}

#[test]
fn names_of_what_was_written_go_to_stdout() {
    let place = folder();
    let out = place.path().join("data");
    let stdout = succeeds(&mut program(&["synth", text(&out), "--set", "train=4", "--set", "val=1"]));
    assert_eq!(stdout, format!("wrote {}\n", out.display()));
    assert!(succeeds(&mut program(&["config"])).starts_with("seed = 1\nweights = \"embedded\"\n"));
}

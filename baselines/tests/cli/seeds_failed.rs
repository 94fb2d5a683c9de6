//! `wsss seeds` that fails: what it leaves to others; and what its manifest says for protocols.

use serde_json::Value;

use crate::cli::workbench::{data, data_copy, fails, files, folder, program, succeeds, text, tiny, trained};

#[test]
fn a_failure_takes_back_what_it_made_and_nothing_else() {
    let place = folder();
    let (data, out, npy) = (data_copy(place.path()), place.path().join("out"), place.path().join("npy"));
    std::fs::write(data.join("JPEGImages/train_000000.jpg"), "no image").unwrap();
    let checkpoint = trained().checkpoint();
    let seeds = |more: &[&str]| {
        let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(&data), "--out", text(&out)];
        let mut seeds = program(&args);
        seeds.env("RAYON_NUM_THREADS", "1").args(["--npy", text(&npy)]).args(more);
        seeds
    };
    fails(&mut seeds(&[]), 3, &["train_000000"]);
    assert!(!out.exists() && !npy.exists());
    std::fs::create_dir(&npy).unwrap();
    fails(&mut seeds(&[]), 3, &["train_000000"]);
    assert!(!out.exists() && npy.is_dir(), "the folder for NumPy is the user's");
    // Another share has made these, and not written into them yet.
    fails(&mut seeds(&["--shard", "1/16"]), 3, &["train_000000"]);
    for part in ["seeds.json", "png", "arrays"] {
        assert!(out.join(part).exists(), "{part}");
    }
    succeeds(&mut seeds(&["--shard", "2/16"]));
    assert_eq!((files(&out).len(), files(&npy).len()), (3, 1));
    // Taken up by one process that fails at once: what the others made stays.
    fails(&mut seeds(&["--resume"]), 3, &["train_000000"]);
    assert_eq!((files(&out).len(), files(&npy).len()), (3, 1));
}

#[test]
fn seeds_of_a_network_that_knew_saliency_say_so() {
    let place = folder();
    let (run, out) = (place.path().join("run"), place.path().join("seeds"));
    succeeds(&mut tiny(&["train", "--data", text(data()), "--out", text(&run)], &["loader.saliency=true"]));
    let checkpoint = run.join("checkpoint.safetensors");
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(data()), "--out", text(&out)];
    succeeds(program(&args).args(["--no-arrays", "--shard", "1/16"]));
    for (seeds, expected) in [(&out, true), (&trained().seeds, false)] {
        let manifest: Value = serde_json::from_slice(&std::fs::read(seeds.join("seeds.json")).unwrap()).unwrap();
        assert_eq!(manifest["uses_saliency"], Value::Bool(expected));
    }
}

//! `wsss crf` as it is typed.

use crate::cli::workbench::{data, fails, fails_without, files, folder, program, succeeds, text, trained};

#[test]
fn masks_of_every_image_and_what_they_were_made_with() {
    let place = folder();
    for (preset, more, expected) in [
        ("seam", &["--alpha", "24"][..], "\"alpha\": 24.0"),
        ("ppc", &["--background-score", "0.2", "--jobs", "2"], "\"num_classes\": 4"),
        ("hsc", &["--set", "crf.model.iterations=2"], "\"iterations\": 2"),
        ("eps", &["--set", "crf.model.kernel=exact"], "\"kernel\": \"exact\""),
    ] {
        let out = place.path().join(preset);
        let mut command =
            program(&["crf", "--seeds", text(&trained().seeds), "--data", text(data()), "--out", text(&out)]);
        let said = succeeds(command.args(["--preset", preset]).args(more));
        assert!(said.contains("wrote masks of 16 images") && said.contains("ms an image"), "{said}");
        let made = files(&out);
        assert_eq!(made.keys().filter(|name| name.starts_with("masks/")).count(), 16);
        let manifest = String::from_utf8(made["crf.json"].clone()).unwrap();
        assert!(manifest.contains(expected), "{manifest}");
    }
}

#[test]
fn what_does_not_go_together() {
    let place = folder();
    let out = place.path().join("out");
    let base = ["crf", "--seeds", text(&trained().seeds), "--data", text(data()), "--out", text(&out)];
    for (more, parts) in [
        (&["--preset", "ppc", "--alpha", "4"][..], &["--alpha", "a score"][..]),
        (&["--background-score", "0.3"], &["--background-score", "a power"]),
        (&["--alpha", "0"], &["`crf.background.power.alpha`", "is 0"]),
        (&["--preset", "seam", "--set", "seed=3"], &["--set seed=3", "`crf`"]),
        (&["--preset", "seam", "--set", "crf.colour=3"], &["unknown field `colour`"]),
        (&["--preset", "ppc", "--set", "crf.num_classes=7"], &["`crf.num_classes`", "is 7"]),
        (&["--jobs", "0"], &["--jobs"]),
    ] {
        fails_without(&out, program(&base).args(more), 2, parts);
    }
    let seeds = place.path().join("nowhere");
    let missing = ["crf", "--seeds", text(&seeds), "--data", text(data()), "--out", text(&out)];
    fails_without(&out, &mut program(&missing), 3, &["nowhere", "expected the seeds of image"]);
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("mine.txt"), "mine").unwrap();
    fails(&mut program(&base), 2, &["exists already"]);
}

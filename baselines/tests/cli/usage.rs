//! What is typed wrong: exit code 2.

use crate::cli::workbench::{data, fails, fails_without, folder, program, succeeds, text, tiny, trained};

const VERBS: [&str; 11] =
    ["synth", "data", "weights", "pretrain", "train", "seeds", "crf", "eval", "viz", "compare", "config"];

#[test]
fn help_of_every_verb() {
    let help = succeeds(&mut program(&["--help"]));
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
        let own = succeeds(&mut program(&[verb, "--help"]));
        assert!(own.contains(&format!("Usage: wsss {verb} ")), "{own}");
        // Every option says what it does.
        let options = own.lines().filter(|line| line.trim_start().starts_with('-'));
        assert!(options.clone().count() >= 3, "{own}");
        for option in options {
            let said = option.trim_start().split("  ").skip(1).any(|part| !part.trim().is_empty());
            assert!(said, "`{option}` of {verb}");
        }
    }
    for code in ["0  success", "1  failure", "2  usage", "3  invalid data", "4  diverged", "130  interrupted"] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn unknown_arguments() {
    for args in [&[][..], &["fly"], &["train"], &["train", "--speed", "9"], &["compare", "--out", "x"]] {
        let output = program(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
    let both = ["compare", "--synth", "--data", "x", "--out", "y"];
    assert_eq!(program(&both).output().unwrap().status.code(), Some(2));
}

#[test]
fn devices_that_are_not_there() {
    let place = folder();
    let (out, data) = (place.path().join("out"), text(data()));
    let checkpoint = text(&trained().run.join("checkpoint.safetensors")).to_string();
    let verbs: [&[&str]; 4] = [
        &["train", "--data", data],
        &["compare", "--data", data],
        &["pretrain", "--data", data],
        &["seeds", "--data", data, "--checkpoint", &checkpoint],
    ];
    for args in verbs {
        let args = [args, &["--out", text(&out), "--device"]].concat();
        // No machine has as many, whatever the program was built with.
        let one_message = ["error: --device: cuda:4095 ", "docs/cuda.md"];
        fails_without(&out, &mut program(&[&args[..], &["cuda:4095"]].concat()), 2, &one_message);
        let tf32 = [&args[..], &["cpu", "--precision", "tf32"]].concat();
        fails_without(&out, &mut program(&tf32), 2, &["--precision tf32", "--device cuda"]);
        let wrong = program(&[&args[..], &["gpu"]].concat()).output().unwrap();
        assert!(wrong.status.code() == Some(2) && !out.exists());
        assert!(String::from_utf8(wrong.stderr).unwrap().contains("expected cpu, cuda or cuda:N, got `gpu`"));
    }
}

#[test]
fn settings_that_make_no_sense() {
    for (setting, parts) in [
        ("colour=red", &["--set colour=red", "unknown field `colour`", "`seed`", "`eval`"][..]),
        ("loader.colour=red", &["--set loader.colour=red", "unknown field `colour`", "`batch_size`"]),
        ("baseline.backbone.depth=38", &["unknown field `depth`", "`width_divisor`"]),
        ("regularizers.hsc.roi.color=1", &["unknown field `color`", "`cosine_range`"]),
        ("loader.crop=large", &["--set loader.crop=large", "\"large\""]),
        ("loader.crop=0", &["`loader.crop`", "at least 1", "is 0"]),
        ("train.steps=0", &["`train.steps`", "at least 1", "is 0"]),
        ("train.checkpoint_every=0", &["`train.checkpoint_every`"]),
        ("train.log_every=0", &["`train.log_every`"]),
        ("baseline.backbone.width_divisor=65", &["`baseline.backbone.width_divisor`", "1 to 64", "is 65"]),
        ("regularizers.hsc.pixel.temperature=0.0", &["`regularizers.hsc.pixel.temperature`", "positive"]),
        ("optimizer.momentum=1.0", &["`optimizer.momentum`", "[0, 1)", "is 1"]),
        ("infer.scales=[]", &["`infer.scales`"]),
        ("eval.background_score=0.265", &["`eval.background_score`", "is 0.265"]),
        ("eval.bootstrap.level=1.0", &["`eval.bootstrap.level`"]),
        ("loader.crop", &["--set loader.crop", "key.path=value"]),
        ("loader..crop=3", &["--set loader..crop=3", "empty key"]),
        ("train.steps.x=3", &["--set train.steps.x=3", "`steps` is ", ", not a table"]),
    ] {
        fails(&mut program(&["config", "--set", setting]), 2, parts);
        let place = folder();
        let out = place.path().join("out");
        for verb in ["train", "compare"] {
            let args = [verb, "--data", text(data()), "--out", text(&out)];
            fails_without(&out, &mut tiny(&args, &[setting]), 2, parts);
        }
    }
}

#[test]
fn files_that_make_no_sense() {
    let place = folder();
    let path = place.path().join("run.toml");
    let name = text(&path);
    fails(&mut program(&["config", "--config", name]), 2, &[name, "embedded", "voc12-seam"]);
    for (text, parts) in [
        ("seed = 1\nseeed = 2\n", &["line 2", "unknown field `seeed`"][..]),
        ("[loader]\ncrop = 32\nstride = 2\n", &["line 3", "unknown field `stride`"]),
        ("[baseline]\ntype = \"resnet\"\n", &["unknown variant `resnet`", "`seam`"]),
        ("[regularizers.cam]\ntype = \"cam\"\n", &["unknown variant `cam`", "`hsc`", "`ppc`"]),
        ("[baselines.eps]\nloader = { cropp = 3 }\n", &["`baselines.eps.loader.cropp`", "unknown field `cropp`"]),
        ("[regularizers.hsc]\ngrid = [4, 4]\n", &["missing field `type`"]),
        ("[regularizers.none]\ntype = \"hsc\"\n", &["`regularizers.none`"]),
        ("seed = \n", &["line 1"]),
    ] {
        std::fs::write(&path, text).unwrap();
        fails(&mut program(&["config", "--config", name]), 2, &[&[name][..], parts].concat());
    }
    fails(&mut program(&["config", "--config", text(place.path())]), 2, &[text(place.path())]);
}

#[test]
fn methods_that_make_no_sense() {
    let place = folder();
    let out = place.path().join("out");
    for (method, parts) in [
        ("cam", &["no regularizer `cam`", "none, hsc, hsc-channel"][..]),
        ("hsc+cam", &["no regularizer `cam`"]),
        ("hsc+none", &["no regularizer `none`"]),
        ("hsc+hsc", &["`hsc+hsc`", "`hsc` comes twice"]),
        ("", &["no regularizer ``"]),
    ] {
        let args = ["train", "--data", text(data()), "--out", text(&out), "--regularizers", method];
        fails_without(&out, &mut tiny(&args, &[]), 2, parts);
    }
    let compare = |more: &[&str], parts: &[&str]| {
        let args = [&["compare", "--data", text(data()), "--out", text(&out)], more].concat();
        fails_without(&out, &mut tiny(&args, &[]), 2, parts);
    };
    compare(&["--regularizers", "none,cam"], &["no regularizer `cam`"]);
    compare(&["--regularizers", "hsc,none,hsc"], &["method `hsc` comes twice"]);
    compare(&["--baselines", "vgg"], &["no baseline `vgg`", "there are seam, eps, eps-pcm, oaa, vgg16-oaa"]);
    compare(&["--baselines", "seam,eps,seam"], &["--baselines", "baseline `seam` comes twice"]);
    compare(&["--baselines", "seam,"], &["no baseline ``"]);
    let args = ["train", "--data", text(data()), "--out", text(&out), "--baseline", "vgg"];
    fails_without(&out, &mut tiny(&args, &[]), 2, &["no baseline `vgg`"]);
    let other_scores = ["baselines.eps.eval.thresholds.last=9", "baselines.eps.eval.background_score=0.05"];
    let args = ["compare", "--data", text(data()), "--out", text(&out), "--baselines", "seam,eps"];
    fails_without(&out, &mut tiny(&args, &other_scores), 2, &["`seam` and `eps`", "`eval`", "background_score"]);
    compare(&["--repeats", "0"], &["--repeats", "at least 1"]);
}

#[test]
fn scores_that_make_no_sense() {
    let place = folder();
    let (checkpoint, seeds, out) = (trained().checkpoint(), text(&trained().seeds), place.path().join("out"));
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(data()), "--out", text(&out)];
    fails_without(&out, program(&args).arg("--background-score=-1"), 2, &["--background-score", "is -1"]);
    let args = ["eval", "--seeds", seeds, "--data", text(data()), "--background-score", "0.265"];
    fails(&mut program(&args), 2, &["`eval.background_score`", "is 0.265"]);
}

#[test]
fn generator_settings_that_make_no_sense() {
    let place = folder();
    let out = place.path().join("out");
    for (setting, parts) in
        [("animals=3", &["--set animals=3", "unknown field `animals`", "`classes`"][..]), ("classes=0", &["`classes`"])]
    {
        fails_without(&out, &mut program(&["synth", text(&out), "--set", setting]), 2, parts);
        let args = ["compare", "--synth", "--out", text(&out), "--synth-set", setting];
        fails_without(&out, &mut tiny(&args, &[]), 2, &parts[parts.len() - 1..]);
    }
}

//! Configurations: built-in, from text, with settings on top, and what a method name means.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use candle_wsss::regularizer::RegularizerConfig;
use candle_wsss::regularizer::hsc::NormalizeAxis;
use candle_wsss_baselines::config::{BaselineConfig, RunConfig};
use candle_wsss_baselines::seam::SeamConfig;
use candle_wsss_baselines::train::PolySgdConfig;

const BUILTIN: [&str; 7] =
    ["embedded", "photographs", "voc12-seam", "voc12-eps", "voc12-vgg16-oaa", "coco14-eps", "pretrain"];

mod overlay;

fn from(text: &str, settings: &[&str]) -> Result<RunConfig, String> {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    RunConfig::from_toml(text, "run.toml", &settings).map_err(|err| err.to_string())
}

#[test]
fn builtins_survive_being_written() {
    for name in BUILTIN {
        let config = RunConfig::builtin(name).unwrap();
        let text = config.to_toml().unwrap();
        assert_eq!(from(&text, &[]).unwrap(), config, "{name}");
        assert_eq!(RunConfig::load(name, &[]).unwrap(), config);
        assert!(config.differences(&from(&text, &[]).unwrap()).unwrap().is_empty());
    }
    assert_eq!(from("", &[]).unwrap(), RunConfig::default());
    let every_option_set = [
        "weights=start.safetensors",
        "loader.jitter=false",
        "train.steps=3",
        "train.checkpoint_every=2",
        "optimizer.max_step=9",
        "optimizer.clip_norm=0.5",
        "regularizers.two.type=hsc",
        "regularizers.two.refine=none",
    ];
    let config = from("", &every_option_set).unwrap();
    assert_eq!(from(&config.to_toml().unwrap(), &[]).unwrap(), config);
}

#[test]
fn builtin_for_voc_is_the_released_recipe() {
    let config = RunConfig::builtin("voc12-seam").unwrap();
    assert_eq!(config.optimizer, PolySgdConfig::default());
    assert_eq!((config.loader.crop, config.loader.batch_size, config.loader.long_side), (448, 8, [448, 768]));
    assert_eq!((config.train.epochs, config.train.steps), (8, None));
    assert_eq!(config.baseline, BaselineConfig::Seam(SeamConfig::default()));
    assert_eq!(config.baseline.name(), "seam");
}

#[test]
fn unknown_builtin_names_the_known() {
    let err = RunConfig::builtin("coco").unwrap_err().to_string();
    assert!(BUILTIN.iter().all(|name| err.contains(name)) && err.contains("`coco`"), "{err}");
}

#[test]
fn settings_reach_every_level() {
    let settings = [
        "seed=9",
        "weights=a/b.safetensors",
        "baseline.loss.weights.ecr=0.5",
        "baseline.backbone.batch_norm=train",
        "loader.long_side=[40, 56]",
        "loader.target_view={ size = 24 }",
        "infer.scales=[1]",
        "regularizers.hsc.roi.cosine_range=[0.1, 0.9]",
        "train.steps = 7",
    ];
    let tables = "[baseline]\ntype = \"seam\"\n[regularizers.hsc]\ntype = \"hsc\"\n";
    let config = from(tables, &settings).unwrap();
    let BaselineConfig::Seam(seam) = &config.baseline else { panic!("another baseline") };
    assert_eq!((config.seed, seam.loss.weights.ecr, config.train.steps), (9, 0.5, Some(7)));
    assert_eq!((config.weights.as_deref(), config.infer.scales), (Some("a/b.safetensors"), vec![1.0]));
    let RegularizerConfig::Hsc(hsc) = &config.regularizers["hsc"] else { panic!("another regularizer") };
    assert_eq!(hsc.roi.cosine_range, (0.1, 0.9));
    // The later one counts.
    assert_eq!(from("", &["seed=2", "seed=3"]).unwrap().seed, 3);
}

#[test]
fn unknown_keys_at_every_level() {
    for (path, known) in [
        ("x", "`optimizer`"),
        ("baseline.x", "`backbone`"),
        ("baseline.backbone.x", "`freeze_stem`"),
        ("baseline.pcm.x", "`low_channels`"),
        ("baseline.loss.x", "`ecr_fraction`"),
        ("baseline.loss.weights.x", "`min_pool`"),
        ("loader.x", "`batch_size`"),
        ("loader.jitter.x", "`hue`"),
        ("loader.normalization.x", "`std`"),
        ("train.x", "`epochs`"),
        ("optimizer.x", "`momentum`"),
        ("infer.x", "`scales`"),
        ("eval.x", "`thresholds`"),
        ("eval.thresholds.x", "`per_unit`"),
        ("eval.bootstrap.x", "`resamples`"),
        ("regularizers.hsc.x", "`pixel_dim`"),
        ("regularizers.hsc.roi.x", "`momentum`"),
        ("regularizers.hsc.class.x", "`top_k`"),
        ("regularizers.hsc.pixel.x", "`absent_classes`"),
    ] {
        let base = RunConfig::builtin("voc12-seam").unwrap();
        let err = from(&base.to_toml().unwrap(), &[&format!("{path}=1")]).unwrap_err();
        assert!(err.contains(&format!("--set {path}=1")), "{path}: {err}");
        assert!(err.contains("unknown field `x`") && err.contains(known), "{path}: {err}");
        assert!(!err.contains('\n'), "{err}");

        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let text = if table.is_empty() { format!("{key} = 1\n") } else { format!("[{table}]\n{key} = 1\n") };
        let text = if path.starts_with("regularizers") && table != "regularizers.hsc" {
            format!("[regularizers.hsc]\ntype = \"hsc\"\n{text}")
        } else if table == "regularizers.hsc" {
            format!("{text}type = \"hsc\"\n")
        } else if path.starts_with("baseline.") && table != "baseline" {
            format!("[baseline]\ntype = \"seam\"\n{text}")
        } else if table == "baseline" {
            format!("{text}type = \"seam\"\n")
        } else {
            text
        };
        let err = from(&text, &[]).unwrap_err();
        assert!(err.starts_with("run.toml, line "), "{path}: {err}");
        assert!(err.contains("unknown field `x`") && err.contains(known), "{path}: {err}");
        assert!(!err.contains('\n'), "{err}");
    }
}

#[test]
fn one_of_several_settings_is_named() {
    let err = from("", &["seed=3", "loader.crop=big", "train.steps=2"]).unwrap_err();
    assert!(err.starts_with("--set loader.crop=big: ") && !err.contains("seed=3"), "{err}");
    // The first of two mistakes, with its own reason.
    let err = from("", &["seed=x", "train.steps=2", "loader.crop=big"]).unwrap_err();
    assert!(err.starts_with("--set seed=x: ") && err.contains("\"x\"") && !err.contains("crop"), "{err}");
    let err = from("", &["train.steps=2", "regularizers.two.grid=[4, 4]", "seed=3"]).unwrap_err();
    assert!(err.starts_with("--set regularizers.two.grid=[4, 4]: missing field `type`"), "{err}");
    // A line break in a value does not start another key.
    assert!(from("", &["weights=a\nseed = 3"]).is_ok_and(|config| config.seed == 1));
}

#[test]
fn methods() {
    let channel = "regularizers.hsc-channel.roi.normalize_axis=channel";
    let config = from(
        &RunConfig::builtin("embedded").unwrap().to_toml().unwrap(),
        &["regularizers.hsc-channel.type=hsc", channel],
    )
    .unwrap();
    let names = |method: &str| -> Result<Vec<String>, String> {
        let stack = config.method(method).map_err(|err| err.to_string())?;
        Ok(stack.iter().map(|config| config.name().to_string()).collect())
    };
    assert_eq!(names("none").unwrap(), Vec::<String>::new());
    assert_eq!(names("hsc").unwrap(), ["hsc"]);
    assert_eq!(names("hsc+hsc-channel").unwrap(), ["hsc", "hsc-channel"]);
    assert_eq!(names("hsc-channel+hsc").unwrap(), ["hsc-channel", "hsc"]);
    for (method, part) in [
        ("cam", "no regularizer `cam` is configured; there are none, hsc, hsc-channel"),
        ("hsc+hsc", "method `hsc+hsc`: `hsc` comes twice"),
        ("hsc+", "no regularizer ``"),
        ("hsc+none", "no regularizer `none`"),
        ("", "no regularizer ``"),
    ] {
        assert!(names(method).unwrap_err().contains(part), "{method}");
    }
    let stack = config.method("hsc+hsc-channel").unwrap();
    let axes: Vec<NormalizeAxis> = stack
        .iter()
        .filter_map(|config| match config {
            RegularizerConfig::Hsc(config) => Some(config.roi.normalize_axis),
            _ => None,
        })
        .collect();
    assert_eq!(axes, [NormalizeAxis::Width, NormalizeAxis::Channel]);
}

#[test]
fn names_of_regularizers() {
    for name in ["model", "memory", "optim", "none", "\"a b\"", "\"a+b\"", "\"a.b\"", "\"\""] {
        let err = from(&format!("[regularizers.{name}]\ntype = \"hsc\"\n"), &[]).unwrap_err();
        assert!(err.contains("config field `regularizers."), "{name}: {err}");
    }
    // The key is the name, whatever the table says.
    let config = from("[regularizers.own]\ntype = \"hsc\"\nname = \"hsc\"\n", &[]).unwrap();
    assert_eq!(config.regularizers["own"].name(), "own");
}

#[test]
fn differences_name_the_path() {
    let base = RunConfig::builtin("embedded").unwrap();
    let text = base.to_toml().unwrap();
    let other = from(&text, &["seed=2", "regularizers.hsc.roi.weight=0.5", "train.checkpoint_every=4"]).unwrap();
    let found = base.differences(&other).unwrap();
    let expected =
        [("regularizers.hsc.roi.weight", "0.1", "0.5"), ("seed", "1", "2"), ("train.checkpoint_every", "not set", "4")];
    let expected: Vec<(String, String, String)> =
        expected.iter().map(|(path, a, b)| (path.to_string(), a.to_string(), b.to_string())).collect();
    assert_eq!(found, expected);
}

#[test]
fn ranges_are_checked_at_load() {
    for (setting, field) in [
        ("baseline.dropout=1.0", "`baseline.dropout`"),
        ("baseline.backbone.width_divisor=0", "`baseline.backbone.width_divisor`"),
        ("loader.target_view.size=0", "`loader.target_view`"),
        ("loader.long_side=[9, 8]", "`loader.long_side`"),
        ("train.epochs=0", "`train.epochs`"),
        ("optimizer.learning_rate=-1.0", "`optimizer.learning_rate`"),
        ("optimizer.learning_rate=nan", "`optimizer.learning_rate`"),
        ("optimizer.weight_decay=-0.1", "`optimizer.weight_decay`"),
        ("optimizer.power=0.0", "`optimizer.power`"),
        ("optimizer.group_factors=[1.0, 2.0, -1.0, 0.0]", "`optimizer.group_factors`"),
        ("optimizer.clip_norm=0.0", "`optimizer.clip_norm`"),
        ("optimizer.max_step=0", "`optimizer.max_step`"),
        ("infer.scales=[1.0, 0.0]", "`infer.scales`"),
        ("infer.scales=[1.0, 1000.0]", "`infer.scales`"),
        ("eval.thresholds.last=100000000000", "`eval.thresholds.last`"),
        ("eval.bootstrap.resamples=9000000000000000000", "`eval.bootstrap.resamples`"),
        ("eval.thresholds.per_unit=0", "`eval.thresholds.per_unit`"),
        ("eval.bootstrap.resamples=0", "`eval.bootstrap.resamples`"),
        ("regularizers.hsc.grid=[0, 4]", "`regularizers.hsc.grid`"),
        ("regularizers.hsc.roi.momentum=1.1", "`regularizers.hsc.roi.momentum`"),
    ] {
        let base = RunConfig::builtin("embedded").unwrap().to_toml().unwrap();
        let base = base.replace("[loader.target_view]\nsize = 64\n", "");
        let err = from(&base, &[setting]).unwrap_err();
        assert!(err.starts_with(&format!("config field {field}: ")), "{setting}: {err}");
    }
}

#[test]
fn what_does_not_go_together() {
    let refused = |text: &str| from(text, &[]).unwrap().expect_trainable().unwrap_err().to_string();
    let err = refused("[baseline]\ntype = \"eps\"\n");
    assert!(err.contains("`loader.saliency`") && err.contains("`eps`") && err.contains("is false"), "{err}");
    let err = refused("[baseline]\ntype = \"eps\"\n[loader]\nsaliency = true\n");
    assert!(err.contains("`infer.source`") && err.contains("without a `pcm`"), "{err}");
    let err = refused("[baseline]\ntype = \"vgg16-oaa\"\n[infer]\nsource = \"softmax\"\n");
    assert!(err.contains("`infer.source`") && err.contains("no background"), "{err}");
    for name in ["seam", "eps", "eps-pcm", "oaa", "vgg16-oaa"] {
        RunConfig::builtin("embedded").unwrap().with_baseline(name).unwrap().expect_trainable().unwrap();
    }
}

//! Baselines as overlays: what merges, what replaces, and what a mistake in one is called.

use candle_wsss_baselines::backbone::BackboneConfig;
use candle_wsss_baselines::config::{BaselineConfig, RunConfig};
use candle_wsss_baselines::data::TargetView;
use candle_wsss_baselines::infer::MapSource;

use super::from;

const BASE: &str = r#"
seed = 4
[baseline]
type = "seam"
dropout = 0.25
backbone = { width_divisor = 8 }
[loader]
batch_size = 2
target_view = { size = 24 }
[train]
epochs = 3
[regularizers.hsc]
type = "hsc"
grid = [4, 4]
[baselines.narrow]
baseline.backbone.width_divisor = 16
loader.crop = 32
regularizers.hsc = { pixel_dim = 8 }
[baselines.other]
baseline = { type = "eps" }
loader = { target_view = { scale = 0.5 }, saliency = true }
train.checkpoint_every = 7
infer.source = "softmax"
regularizers.second = { type = "hsc" }
"#;

fn width_divisor(config: &BackboneConfig) -> usize {
    let full = 4096;
    full / config.scaled(full)
}

#[test]
fn tables_merge_key_by_key() {
    let config = from(BASE, &[]).unwrap();
    let narrow = config.with_baseline("narrow").unwrap();
    let BaselineConfig::Seam(seam) = &narrow.baseline else { panic!("another baseline") };
    assert_eq!((width_divisor(&seam.backbone), seam.dropout), (16, 0.25));
    assert_eq!((narrow.loader.crop, narrow.loader.batch_size, narrow.train.epochs), (32, 2, 3));
    assert_eq!(narrow.seed, 4);
    // A regularizer keeps its other fields, and its name.
    let text = narrow.to_toml().unwrap();
    let hsc = &text[text.find("[regularizers.hsc]").unwrap()..];
    assert!(hsc.contains("pixel_dim = 8") && hsc.contains("grid = [4, 4]") && hsc.contains("name = \"hsc\""), "{hsc}");
    assert!(narrow.baselines.is_empty() && !text.contains("baselines"), "{text}");
    assert_eq!(from(&text, &[]).unwrap(), narrow);
}

#[test]
fn another_kind_and_another_choice_replace() {
    let other = from(BASE, &[]).unwrap().with_baseline("other").unwrap();
    let BaselineConfig::Eps(eps) = &other.baseline else { panic!("another baseline") };
    assert_eq!(width_divisor(&eps.backbone), 1, "nothing of the other network's trunk");
    assert_eq!(other.loader.target_view, TargetView::Scale(0.5));
    assert_eq!((other.loader.saliency, other.loader.batch_size), (true, 2));
    assert_eq!((other.train.epochs, other.train.checkpoint_every), (3, Some(7)), "a table of one field is no choice");
    assert_eq!(other.infer.source, MapSource::Softmax);
    assert_eq!(other.regularizers.keys().collect::<Vec<_>>(), ["hsc", "second"]);
    // The same type said again changes nothing of the rest.
    let again = from(BASE, &["baselines.narrow.baseline.type=seam"]).unwrap().with_baseline("narrow").unwrap();
    assert_eq!(again, from(BASE, &[]).unwrap().with_baseline("narrow").unwrap());
}

#[test]
fn settings_reach_overlays() {
    let config = from(BASE, &["baselines.narrow.loader.batch_size=5", "seed=9", "train.epochs=6"]).unwrap();
    let narrow = config.with_baseline("narrow").unwrap();
    assert_eq!((narrow.loader.batch_size, narrow.loader.crop), (5, 32));
    assert_eq!((narrow.seed, narrow.train.epochs), (9, 6));
    assert_eq!(config.with_baseline("other").unwrap().seed, 9);
    assert_eq!(config.loader.batch_size, 2);
    let made = from("", &["baselines.wide.loader.crop=64"]).unwrap();
    assert_eq!(made.with_baseline("wide").unwrap().loader.crop, 64);
}

#[test]
fn the_configured_baseline_has_a_name() {
    let config = from(BASE, &[]).unwrap();
    assert_eq!(config.baseline_names(), ["seam", "narrow", "other"]);
    let own = config.with_baseline("seam").unwrap();
    assert_eq!(own, config.as_configured());
    assert_eq!(RunConfig { baselines: config.baselines.clone(), ..own }, config);
    let err = config.with_baseline("eps").unwrap_err().to_string();
    assert_eq!(err, "no baseline `eps` is configured; there are seam, narrow, other");
    // A table of that name says what the name means.
    let renamed = from(BASE, &["baselines.seam.loader.crop=16"]).unwrap();
    assert_eq!(renamed.with_baseline("seam").unwrap().loader.crop, 16);
    assert_eq!(renamed.as_configured().loader.crop, 448);
}

#[test]
fn overlays_survive_being_written() {
    let config = from(BASE, &[]).unwrap();
    assert_eq!(from(&config.to_toml().unwrap(), &[]).unwrap(), config);
    let other = from(BASE, &["baselines.narrow.loader.crop=48"]).unwrap();
    let found = config.differences(&other).unwrap();
    let expected = ("baselines.narrow.loader.crop".to_string(), "32".to_string(), "48".to_string());
    assert_eq!(found, [expected]);
}

#[test]
fn mistakes_are_found_at_load() {
    for (setting, parts) in [
        (
            "baselines.narrow.loader.cropp=3",
            &["`baselines.narrow.loader.cropp`", "unknown field `cropp`", "`crop`"][..],
        ),
        ("baselines.narrow.colour=3", &["`baselines.narrow.colour`", "unknown field `colour`", "`seed`"]),
        ("baselines.other.baseline.depth=3", &["`baselines.other.baseline.depth`", "unknown field `depth`"]),
        (
            "baselines.other.baseline.type=resnet",
            &["`baselines.other.baseline.type`", "unknown variant `resnet`", "`eps`"],
        ),
        ("baselines.narrow.loader.crop=big", &["`baselines.narrow.loader.crop`", "\"big\""]),
        ("baselines.narrow.loader.crop=0", &["`baselines.narrow.loader.crop`", "at least 1", "is 0"]),
        ("baselines.other.optimizer.momentum=1.5", &["`baselines.other.optimizer.momentum`", "is 1.5"]),
        ("baselines.narrow.regularizers.new.grid=[4, 4]", &["`baselines.narrow.regularizers.new.grid`", "`type`"]),
        ("baselines.narrow.regularizers.none.type=hsc", &["`baselines.narrow.regularizers.none`"]),
        ("baselines.narrow.seed=3", &["`baselines.narrow.seed`", "share its seed"]),
        ("baselines.narrow.baselines.x.seed=3", &["`baselines.narrow.baselines`"]),
        ("baselines.a+b.loader.crop=3", &["`baselines.a+b`", "letters, digits"]),
        ("baselines.narrow=3", &["--set baselines.narrow=3", "expected a"]),
    ] {
        let err = from(BASE, &[setting]).unwrap_err();
        assert!(!err.contains('\n'), "{setting}: {err}");
        for part in parts {
            assert!(err.contains(part), "{setting}: `{part}` is not in: {err}");
        }
    }
    // Of two mistakes one is named, with its own reason.
    let err = from(BASE, &["baselines.narrow.loader.x=3", "baselines.narrow.train.y=3"]).unwrap_err();
    assert!(err.contains("`baselines.narrow.loader.x`: unknown field `x`"), "{err}");
}

#[test]
fn overlays_of_the_builtins() {
    let config = RunConfig::builtin("embedded").unwrap();
    for (name, kind) in
        [("seam", "seam"), ("eps", "eps"), ("eps-pcm", "eps"), ("oaa", "vgg16-oaa"), ("vgg16-oaa", "vgg16-oaa")]
    {
        assert_eq!(config.with_baseline(name).unwrap().baseline.name(), kind);
    }
    let eps = config.with_baseline("eps").unwrap();
    assert!(eps.loader.saliency && eps.infer.source == MapSource::Softmax);
    assert_eq!(eps.loader.crop, config.loader.crop);
    for name in ["voc12-seam", "voc12-eps", "voc12-vgg16-oaa"] {
        let config = RunConfig::builtin(name).unwrap();
        assert_eq!(format!("voc12-{}", config.baseline.name()), name);
        assert_eq!(config.method("hsc+ppc+rca+pss").unwrap().len(), 4);
    }
}

#[test]
fn the_example_of_the_readme_is_one() {
    let readme = include_str!("../../../README.md");
    let example = readme.split("```toml\n").find(|block| block.starts_with("[baselines.")).unwrap();
    let config = from(example.split("```").next().unwrap(), &[]).unwrap();
    let names: Vec<&str> = config.baselines.keys().map(String::as_str).collect();
    assert_eq!(names, ["eps", "narrow"]);
    assert_eq!(config.with_baseline("eps").unwrap().baseline.name(), "eps");
    let BaselineConfig::Seam(narrow) = config.with_baseline("narrow").unwrap().baseline else {
        panic!("another baseline")
    };
    assert_eq!(width_divisor(&narrow.backbone), 16);
}

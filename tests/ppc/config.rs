//! Configuration: the presets, what is refused, and its written form.

use candle_wsss::regularizer::RegularizerConfig;
use candle_wsss::regularizer::hsc::{AbsentClasses, BackgroundPrototype};
use candle_wsss::regularizer::ppc::{
    PixelSampling, PositiveRank, PpcConfig, PrototypeMining, SemiHardRanks, SmallClasses,
};

#[test]
fn presets_are_the_released_code() {
    let seam = PpcConfig::seam();
    assert_eq!(seam, PpcConfig::default());
    assert_eq!((seam.background_score, seam.pixels_per_prototype_divisor), (0.20, 8));
    assert_eq!(seam.mining, PrototypeMining::SemiHard(SemiHardRanks { dropped: 3, last_rank: 13 }));
    assert_eq!(seam.sampling, PixelSampling::HardHalf { hard_fraction: 0.6 });
    assert_eq!((seam.positive_rank, seam.small_classes), (PositiveRank::Ranked, SmallClasses::Counted));
    assert_eq!(seam.background_prototype, BackgroundPrototype::ConstantScore);
    assert_eq!(seam.absent_classes, AbsentClasses::Included);
    let eps = PpcConfig::eps();
    assert_eq!((eps.background_score, eps.pixels_per_prototype_divisor), (0.10, 16));
    assert_eq!(PpcConfig { background_score: 0.20, pixels_per_prototype_divisor: 8, ..eps.clone() }, seam);
    seam.validate().unwrap();
    eps.validate().unwrap();
}

#[test]
fn values_out_of_range_are_named() {
    let base = PpcConfig::default;
    let mining = |dropped, last_rank| PpcConfig {
        mining: PrototypeMining::SemiHard(SemiHardRanks { dropped, last_rank }),
        ..base()
    };
    let sampling = |hard_fraction| PpcConfig { sampling: PixelSampling::HardHalf { hard_fraction }, ..base() };
    for (config, field, value) in [
        (PpcConfig { name: String::new(), ..base() }, "name", "``"),
        (PpcConfig { name: "a/b".to_string(), ..base() }, "name", "`a/b`"),
        (PpcConfig { background_score: 0.0, ..base() }, "background_score", "0"),
        (PpcConfig { temperature: f64::NAN, ..base() }, "temperature", "NaN"),
        (PpcConfig { weight: -0.5, ..base() }, "weight", "-0.5"),
        (PpcConfig { cross_prototype: -1.0, ..base() }, "cross_prototype", "-1"),
        (PpcConfig { cross_label: f64::INFINITY, ..base() }, "cross_label", "inf"),
        (PpcConfig { intra: -2.0, ..base() }, "intra", "-2"),
        (PpcConfig { grid: (4, 0), ..base() }, "grid", "0"),
        (PpcConfig { projection_dim: 0, ..base() }, "projection_dim", "0"),
        (PpcConfig { pixels_per_prototype_divisor: 0, ..base() }, "pixels_per_prototype_divisor", "0"),
        (mining(3, 3), "mining.semi_hard.last_rank", "3"),
        (sampling(0.4), "sampling.hard_half.hard_fraction", "0.4"),
        (sampling(1.5), "sampling.hard_half.hard_fraction", "1.5"),
    ] {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(&format!("`{field}`")) && message.ends_with(value), "{field}: {message}");
    }
}

#[test]
fn written_and_read_back_it_is_the_same() {
    let ablated = PpcConfig { mining: PrototypeMining::All, sampling: PixelSampling::EachClass, ..PpcConfig::eps() };
    for config in [PpcConfig::seam(), PpcConfig::eps(), ablated] {
        let config = RegularizerConfig::Ppc(config);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RegularizerConfig>(&text).unwrap(), config);
    }
}

#[test]
fn a_part_is_enough_and_an_unknown_field_is_refused() {
    let text = r#"{"type": "ppc", "mining": {"semi_hard": {"dropped": 1}}, "sampling": "all"}"#;
    let config: RegularizerConfig = serde_json::from_str(text).unwrap();
    let mining = PrototypeMining::SemiHard(SemiHardRanks { dropped: 1, ..SemiHardRanks::default() });
    let want = PpcConfig { mining, sampling: PixelSampling::All, ..PpcConfig::default() };
    assert_eq!(config, RegularizerConfig::Ppc(want));
    for wrong in [r#"{"memory": 0.1}"#, r#"{"mining": {"semi_hard": {"dropped": 1, "last_rank": 4, "first_rank": 2}}}"#]
    {
        assert!(serde_json::from_str::<PpcConfig>(wrong).is_err(), "{wrong}");
    }
}

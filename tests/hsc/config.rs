//! Configuration: the defaults, what is refused, and its written form.

use candle_wsss::ops::DenseCrfConfig;
use candle_wsss::regularizer::hsc::{
    AbsentClasses, BackgroundPrototype, BackgroundRow, BankOrder, BankRows, ClassConfig, HeadGroup, HscConfig,
    NormalizeAxis, PixelConfig, RoiConfig,
};
use candle_wsss::seed::Refine;

#[test]
fn default_is_the_released_code() {
    let HscConfig { head_group, roi, class, pixel, .. } = HscConfig::default();
    assert_eq!(head_group, HeadGroup::Pretrained);
    assert_eq!((roi.normalize_axis, roi.bank_rows), (NormalizeAxis::Width, BankRows::Raw));
    assert_eq!((class.bank_order, class.background_row), (BankOrder::WithinStep, BackgroundRow::Never));
    assert_eq!(pixel.background_prototype, BackgroundPrototype::ConstantScore);
    assert_eq!((pixel.absent_classes, pixel.bank_rows), (AbsentClasses::Included, BankRows::Raw));
    HscConfig::default().validate().unwrap();
    HscConfig::recommended().validate().unwrap();
}

#[test]
fn recommended_differs_where_the_intention_is_evident() {
    let (released, recommended) = (HscConfig::default(), HscConfig::recommended());
    assert_ne!(released, recommended);
    let back = HscConfig {
        head_group: HeadGroup::Pretrained,
        roi: RoiConfig { normalize_axis: NormalizeAxis::Width, ..recommended.roi },
        class: ClassConfig { background_row: BackgroundRow::Never, ..recommended.class },
        pixel: PixelConfig {
            background_prototype: BackgroundPrototype::ConstantScore,
            absent_classes: AbsentClasses::Included,
            ..recommended.pixel
        },
        ..recommended
    };
    assert_eq!(back, released);
}

#[test]
fn values_out_of_range_are_named() {
    let base = HscConfig::default;
    let roi = |roi: RoiConfig| HscConfig { roi, ..base() };
    let class = |class: ClassConfig| HscConfig { class, ..base() };
    let pixel = |pixel: PixelConfig| HscConfig { pixel, ..base() };
    let crf = DenseCrfConfig { gt_prob: 1.5, ..DenseCrfConfig::default() };
    for (config, field) in [
        (HscConfig { name: String::new(), ..base() }, "name"),
        (HscConfig { name: "a.b".to_string(), ..base() }, "name"),
        (HscConfig { background_score: f64::NAN, ..base() }, "background_score"),
        (HscConfig { grid: (4, 0), ..base() }, "grid"),
        (HscConfig { region_dim: 0, ..base() }, "region_dim"),
        (HscConfig { refine: Refine::DenseCrf(crf), ..base() }, "refine.dense_crf.gt_prob"),
        (roi(RoiConfig { cross: -1.0, ..RoiConfig::default() }), "roi.cross"),
        (roi(RoiConfig { momentum: 1.1, ..RoiConfig::default() }), "roi.momentum"),
        (roi(RoiConfig { cosine_range: (0.0, 1.0), ..RoiConfig::default() }), "roi.cosine_range"),
        (class(ClassConfig { temperature: 0.0, ..ClassConfig::default() }), "class.temperature"),
        (class(ClassConfig { top_k: 0, ..ClassConfig::default() }), "class.top_k"),
        (pixel(PixelConfig { memory: f64::INFINITY, ..PixelConfig::default() }), "pixel.memory"),
        (
            pixel(PixelConfig { pixels_per_prototype_divisor: 0, ..PixelConfig::default() }),
            "pixel.pixels_per_prototype_divisor",
        ),
    ] {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(&format!("`{field}`")), "{field}: {message}");
    }
}

#[test]
fn written_and_read_back_it_is_the_same() {
    for config in
        [HscConfig::default(), HscConfig::recommended(), HscConfig { refine: Refine::None, ..HscConfig::default() }]
    {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<HscConfig>(&text).unwrap(), config);
    }
}

#[test]
fn a_part_is_enough_and_an_unknown_field_is_refused() {
    let text = r#"{"refine": {"dense_crf": {"iterations": 3}}, "pixel": {"absent_classes": "excluded"}}"#;
    let config: HscConfig = serde_json::from_str(text).unwrap();
    let refine = Refine::DenseCrf(DenseCrfConfig { iterations: 3, ..DenseCrfConfig::hsc_labels() });
    let pixel = PixelConfig { absent_classes: AbsentClasses::Excluded, ..PixelConfig::default() };
    assert_eq!(config, HscConfig { refine, pixel, ..HscConfig::default() });
    for wrong in [r#"{"temperature": 0.1}"#, r#"{"roi": {"top_k": 3}}"#, r#"{"refine": {"dense_crf": {"steps": 3}}}"#] {
        assert!(serde_json::from_str::<HscConfig>(wrong).is_err(), "{wrong}");
    }
}

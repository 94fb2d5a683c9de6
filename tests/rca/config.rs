//! Configuration: the defaults, what is refused, and its written form.

use candle_wsss::regularizer::rca::{
    Attention, FineHead, ImageReduction, MemorySpace, MemoryStart, MixUp, ProjectionGroup, RcaConfig, RcaInference,
    UpdateMasking,
};

#[test]
fn default_is_the_released_code() {
    let config = RcaConfig::default();
    assert_eq!(config.head, FineHead::PerClass { hidden: None, layers: 3 });
    assert_eq!((config.attention, config.memory_space), (Attention::ScaledProduct, MemorySpace::Backbone));
    assert_eq!((config.memory_start, config.image_reduction), (MemoryStart::Normal, ImageReduction::Sum));
    assert_eq!((config.update_masking, config.mixup), (UpdateMasking::Cumulative, MixUp::Beta(8.0)));
    assert_eq!((config.projection_group, config.inference), (ProjectionGroup::Pretrained, RcaInference::Aggregated));
    assert_eq!((config.fine_weight, config.contrast_weight, config.contrast_from_epoch), (1.0, 0.01, 2));
    assert!(config.alters_inference());
    assert!(!RcaConfig { inference: RcaInference::Baseline, ..config.clone() }.alters_inference());
    config.validate().unwrap();
    RcaConfig::intended().validate().unwrap();
}

#[test]
fn intended_differs_where_the_intention_is_evident() {
    let (released, intended) = (RcaConfig::default(), RcaConfig::intended());
    assert_ne!(released, intended);
    let back = RcaConfig {
        attention: Attention::ScaledProduct,
        memory_space: MemorySpace::Backbone,
        memory_start: MemoryStart::Normal,
        image_reduction: ImageReduction::Sum,
        update_masking: UpdateMasking::Cumulative,
        projection_group: ProjectionGroup::Pretrained,
        ..intended
    };
    assert_eq!(back, released);
}

#[test]
fn values_out_of_range_are_named() {
    let base = RcaConfig::default;
    for (config, field) in [
        (RcaConfig { name: String::new(), ..base() }, "name"),
        (RcaConfig { name: "a/b".to_string(), ..base() }, "name"),
        (RcaConfig { head: FineHead::Shared { hidden: Some(0), layers: 1 }, ..base() }, "head.hidden"),
        (RcaConfig { embedding_dim: Some(0), ..base() }, "embedding_dim"),
        (RcaConfig { fine_weight: -1.0, ..base() }, "fine_weight"),
        (RcaConfig { contrast_weight: f64::NAN, ..base() }, "contrast_weight"),
        (RcaConfig { temperature: 0.0, ..base() }, "temperature"),
        (RcaConfig { clamp_min: 0.0, ..base() }, "clamp_min"),
        (RcaConfig { mixup: MixUp::Beta(0.0), ..base() }, "mixup.beta"),
        (RcaConfig { memory_length: 0, ..base() }, "memory_length"),
        (RcaConfig { memory_momentum: 1.1, ..base() }, "memory_momentum"),
        (RcaConfig { gate: -0.1, ..base() }, "gate"),
        (RcaConfig { clusters: 0, ..base() }, "clusters"),
        (RcaConfig { kmeans_iterations: 0, ..base() }, "kmeans_iterations"),
    ] {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(&format!("`{field}`")), "{field}: {message}");
    }
}

#[test]
fn written_and_read_back_it_is_the_same() {
    let head = FineHead::Shared { hidden: Some(64), layers: 1 };
    for config in [
        RcaConfig::default(),
        RcaConfig::intended(),
        RcaConfig { head, mixup: MixUp::Off, embedding_dim: Some(8), ..RcaConfig::default() },
    ] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RcaConfig>(&text).unwrap(), config);
    }
}

#[test]
fn a_part_is_enough_and_an_unknown_field_is_refused() {
    let text =
        r#"{"head": {"shared": {"hidden": 32}}, "mixup": "off", "attention": "soft_max", "memory_space": "query"}"#;
    let head = FineHead::Shared { hidden: Some(32), layers: 3 };
    let want = RcaConfig {
        head,
        mixup: MixUp::Off,
        attention: Attention::SoftMax,
        memory_space: MemorySpace::Query,
        ..RcaConfig::default()
    };
    assert_eq!(serde_json::from_str::<RcaConfig>(text).unwrap(), want);
    for wrong in [r#"{"queue": 3}"#, r#"{"head": {"shared": {"depth": 3}}}"#, r#"{"attention": "softmax"}"#] {
        assert!(serde_json::from_str::<RcaConfig>(wrong).is_err(), "{wrong}");
    }
}

use candle_wsss::regularizer::pss::{CamSource, MamConfig, PssConfig, RcmConfig, SupportStart};

#[test]
fn defaults_are_the_documented_ones() {
    let PssConfig { name, support_momentum, support_start, support_scales, rcm, mam } = PssConfig::default();
    assert_eq!((name.as_str(), support_momentum), ("pss", 0.999));
    assert_eq!(support_start, SupportStart::FirstTerm);
    assert_eq!(support_scales, [0.5, 1.0, 1.5, 2.0]);
    assert_eq!((rcm.enabled, rcm.weight, rcm.start_epoch, rcm.cam), (true, 1.0, 0, CamSource::Refined));
    assert_eq!((rcm.foreground_threshold, rcm.background_threshold, rcm.temperature), (0.4, 0.1, 0.1));
    assert_eq!((mam.enabled, mam.weight, mam.start_epoch, mam.cam), (true, 1.0, 0, CamSource::Raw));
    assert_eq!((mam.main_scales.as_slice(), mam.attention_temperature), (&[0.5, 1.0, 2.0][..], 0.5));
    PssConfig::default().validate().unwrap();
}

#[test]
fn values_out_of_range_are_named() {
    let base = PssConfig::default;
    let rcm = |rcm: RcmConfig| PssConfig { rcm, ..base() };
    let mam = |mam: MamConfig| PssConfig { mam, ..base() };
    for (config, field) in [
        (PssConfig { name: String::new(), ..base() }, "name"),
        (PssConfig { name: "a/b".to_string(), ..base() }, "name"),
        (PssConfig { support_momentum: 1.1, ..base() }, "support_momentum"),
        (PssConfig { support_momentum: f64::NAN, ..base() }, "support_momentum"),
        (PssConfig { support_scales: vec![], ..base() }, "support_scales"),
        (PssConfig { support_scales: vec![1.0, 0.0], ..base() }, "support_scales[1]"),
        (PssConfig { support_scales: vec![1.0, f64::INFINITY], ..base() }, "support_scales[1]"),
        (rcm(RcmConfig { weight: -1.0, ..RcmConfig::default() }), "rcm.weight"),
        (rcm(RcmConfig { foreground_threshold: 1.0, ..RcmConfig::default() }), "rcm.foreground_threshold"),
        (rcm(RcmConfig { foreground_threshold: f64::NAN, ..RcmConfig::default() }), "rcm.foreground_threshold"),
        (rcm(RcmConfig { background_threshold: 0.5, ..RcmConfig::default() }), "rcm.background_threshold"),
        (rcm(RcmConfig { background_threshold: -0.1, ..RcmConfig::default() }), "rcm.background_threshold"),
        (rcm(RcmConfig { temperature: 0.0, ..RcmConfig::default() }), "rcm.temperature"),
        (mam(MamConfig { weight: f64::NAN, ..MamConfig::default() }), "mam.weight"),
        (mam(MamConfig { main_scales: vec![], ..MamConfig::default() }), "mam.main_scales"),
        (mam(MamConfig { main_scales: vec![2.0, 2.0], ..MamConfig::default() }), "mam.main_scales[1]"),
        (mam(MamConfig { attention_temperature: -0.5, ..MamConfig::default() }), "mam.attention_temperature"),
    ] {
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(&format!("`{field}`")), "{field}: {message}");
    }
}

#[test]
fn written_and_read_back_it_is_the_same() {
    let text = serde_json::to_string(&PssConfig::default()).unwrap();
    assert_eq!(serde_json::from_str::<PssConfig>(&text).unwrap(), PssConfig::default());
    let part: PssConfig = serde_json::from_str(r#"{"rcm": {"enabled": false}, "mam": {"cam": "refined"}}"#).unwrap();
    assert!(!part.rcm.enabled);
    assert_eq!(part.mam, MamConfig { cam: CamSource::Refined, ..MamConfig::default() });
    for wrong in [r#"{"temperature": 0.1}"#, r#"{"mam": {"temperature": 0.1}}"#, r#"{"rcm": {"cam": "best"}}"#] {
        assert!(serde_json::from_str::<PssConfig>(wrong).is_err(), "{wrong}");
    }
}

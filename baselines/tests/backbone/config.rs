//! Trunks in a configuration file.

use candle_wsss_baselines::backbone::{
    BackboneConfig, MobileNetV2Config, ResNet38dConfig, ResNet50Config, SqueezeNetConfig, Vgg16Config,
};

fn parse(text: &str) -> Result<BackboneConfig, String> {
    toml::from_str(text).map_err(|err| err.to_string())
}

#[test]
fn types_and_their_defaults() {
    for (kind, want) in [
        ("resnet38d", BackboneConfig::ResNet38d(ResNet38dConfig::default())),
        ("vgg16", BackboneConfig::Vgg16(Vgg16Config::default())),
        ("resnet50", BackboneConfig::ResNet50(ResNet50Config::default())),
        ("mobilenet_v2", BackboneConfig::MobileNetV2(MobileNetV2Config::default())),
        ("squeezenet1_0", BackboneConfig::SqueezeNet(SqueezeNetConfig::default())),
    ] {
        assert_eq!(parse(&format!("type = \"{kind}\"")).unwrap(), want);
        assert_eq!(parse(&toml::to_string(&want).unwrap()).unwrap(), want);
        want.validate("backbone").unwrap();
    }
    assert_eq!(parse("").unwrap(), BackboneConfig::default());
    let err = parse("type = \"vgg19\"").unwrap_err();
    assert!(["vgg19", "vgg16", "squeezenet1_0"].iter().all(|name| err.contains(name)), "{err}");
    let err = parse("type = \"squeezenet1_0\"\noutput_stride = 8").unwrap_err();
    assert!(err.contains("output_stride"), "{err}");
}

#[test]
fn stride_and_channels() {
    for (text, stride, channels) in [
        ("type = \"vgg16\"", 8, [256, 512, 512]),
        ("type = \"vgg16\"\noutput_stride = 32\nwidth_divisor = 4", 32, [64, 128, 128]),
        ("type = \"resnet50\"", 16, [512, 1024, 2048]),
        ("type = \"mobilenet_v2\"\noutput_stride = 8", 8, [32, 96, 1280]),
        ("type = \"squeezenet1_0\"", 16, [256, 512, 512]),
        ("type = \"squeezenet1_0\"\nwidth_divisor = 64", 16, [4, 8, 8]),
    ] {
        let spec = parse(text).unwrap().spec();
        assert_eq!((spec.stride, spec.channels), (stride, channels), "{text}");
    }
}

#[test]
fn values_out_of_range_are_named() {
    for (kind, setting, message) in [
        ("vgg16", "width_divisor = 0", "`trunk.width_divisor`: must be from 1 to 64, is 0"),
        ("mobilenet_v2", "width_divisor = 33", "`trunk.width_divisor`: must be from 1 to 32, is 33"),
        ("resnet50", "output_stride = 4", "`trunk.output_stride`: must be 8, 16 or 32, is 4"),
        ("vgg16", "frozen_stages = 6", "`trunk.frozen_stages`: must be at most 5, is 6"),
        ("squeezenet1_0", "frozen_stages = 5", "`trunk.frozen_stages`: must be at most 4, is 5"),
        ("resnet50", "batch_norm_epsilon = 0.0", "`trunk.batch_norm_epsilon`: must be positive, is 0"),
        (
            "mobilenet_v2",
            "batch_norm_momentum = 2.0",
            "`trunk.batch_norm_momentum`: must be above 0 and at most 1, is 2",
        ),
    ] {
        let config = parse(&format!("type = \"{kind}\"\n{setting}")).unwrap();
        let err = config.validate("trunk").unwrap_err().to_string();
        assert!(err.contains(message), "{err}");
    }
}

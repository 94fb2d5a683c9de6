//! Trunks in a configuration file.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use candle_wsss::ParameterStore;
use candle_wsss_baselines::backbone::{
    BackboneConfig, MobileNetV2Config, ResNet38dConfig, ResNet50Config, SqueezeNetConfig, Vgg16Config, load_pretrained,
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

#[test]
fn pretrained_weights_fill_the_trunk_or_nothing() {
    for kind in ["resnet38d", "vgg16", "resnet50", "mobilenet_v2", "squeezenet1_0"] {
        let config = parse(&format!("type = \"{kind}\"\nwidth_divisor = 32")).unwrap();
        let build = |seed: u64, scope: &str| {
            let store = ParameterStore::new();
            let vb = store.var_builder(seed, DType::F32, &Device::Cpu);
            config.build(if scope.is_empty() { vb } else { vb.pp(scope) }).unwrap();
            store
        };
        let (source, target) = (build(1, ""), build(2, "a.b"));
        let sums = |store: &ParameterStore| {
            let sum = |tensor: &Tensor| tensor.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            store.named_vars().iter().map(|(_, var)| sum(var)).collect::<Vec<_>>()
        };
        let mut tensors: BTreeMap<String, Tensor> = source.snapshot().unwrap();
        assert_eq!(config.parameter_names().unwrap(), tensors.keys().cloned().collect::<BTreeSet<_>>());
        tensors.insert("fc.bias".to_string(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap());
        let start = sums(&target);
        let misshapen =
            tensors.clone().into_iter().map(|(name, tensor)| (name, tensor.flatten_all().unwrap())).collect();
        for (scope, tensors) in [("a", &tensors), ("a.b", &BTreeMap::new()), ("a.b", &misshapen)] {
            assert!(load_pretrained(&config, &target, scope, tensors).is_err(), "{kind}");
        }
        assert_eq!(sums(&target), start);
        assert_eq!(load_pretrained(&config, &target, "a.b", &tensors).unwrap(), ["fc.bias"]);
        assert_eq!(sums(&target), sums(&source), "{kind}");
    }
}

//! Every trunk at a small width: under SEAM, its groups, its frozen stages, its sizes.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::{assert_close, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, Mode, Pair, ParameterGroup, ParameterStore, Progress, SeededSampler, Step, View,
};
use candle_wsss_baselines::backbone::{
    BackboneConfig, BatchNormMode, MobileNetV2Config, ResNet38dConfig, ResNet50Config, SqueezeNetConfig, Vgg16Config,
};
use candle_wsss_baselines::seam::{Seam, SeamConfig};
use candle_wsss_baselines::train::{PolySgd, PolySgdConfig};

/// The trunks with a number of frozen stages and a way of normalising, where they have them.
fn trunks(frozen_stages: usize, batch_norm: BatchNormMode) -> Vec<BackboneConfig> {
    vec![
        BackboneConfig::ResNet38d(ResNet38dConfig {
            width_divisor: 16,
            batch_norm,
            freeze_stem: frozen_stages > 0,
            ..Default::default()
        }),
        BackboneConfig::Vgg16(Vgg16Config { width_divisor: 16, frozen_stages, ..Default::default() }),
        BackboneConfig::ResNet50(ResNet50Config { width_divisor: 16, frozen_stages, batch_norm, ..Default::default() }),
        BackboneConfig::MobileNetV2(MobileNetV2Config {
            width_divisor: 4,
            frozen_stages,
            batch_norm,
            ..Default::default()
        }),
        BackboneConfig::SqueezeNet(SqueezeNetConfig { width_divisor: 8, frozen_stages }),
    ]
}

fn layout() -> ClassLayout {
    ClassLayout::new(4).unwrap()
}

fn seam(backbone: &BackboneConfig, store: &ParameterStore) -> Seam {
    let config = SeamConfig { backbone: backbone.clone(), ..SeamConfig::default() };
    Seam::new(config, layout(), store.var_builder(1, DType::F32, &Device::Cpu)).unwrap()
}

fn image(seed: u64, images: usize, size: [usize; 2]) -> Tensor {
    randn(seed, &[images, 3, size[0], size[1]]).unwrap().to_dtype(DType::F32).unwrap()
}

fn loss(model: &Seam) -> Tensor {
    let views = Pair::new(image(1, 2, [64, 56]), image(2, 2, [40, 40])).try_map(View::new).unwrap();
    let root = SeededSampler::new(5);
    let run = |view: &View, scope: &str| model.forward(view, Mode::Train(&mut root.child(scope))).unwrap();
    let outputs = Pair::new(run(&views.source, "source"), run(&views.target, "target"));
    outputs.as_ref().try_map(|output| output.check(model.spec())).unwrap();
    let labels = ImageLabels::new(vec![vec![0, 3], vec![2]], layout(), DType::F32, &Device::Cpu).unwrap();
    let step = Step { model, views: &views, outputs: &outputs, labels: &labels, progress: Progress::default() };
    model.objective(&step, &SeededSampler::new(0)).unwrap().terms.total().unwrap().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

// Exactly the parameters that are not frozen have a gradient; a step leaves the frozen ones as they are.
#[test]
fn seam_trains_on_every_trunk() {
    for (frozen_stages, mode) in [(0, BatchNormMode::Frozen), (2, BatchNormMode::Frozen), (1, BatchNormMode::Train)] {
        for config in trunks(frozen_stages, mode) {
            let what = |name: &str| format!("{name} of {config:?}");
            let store = ParameterStore::new();
            let model = seam(&config, &store);
            let optimizer = PolySgdConfig { learning_rate: 0.01, weight_decay: 0.0, ..PolySgdConfig::default() };
            let mut optimizer = PolySgd::new(optimizer, &model, &store, 2).unwrap();
            let start = loss(&model);
            let grads = start.backward().unwrap();
            let before = store.snapshot().unwrap();
            for (name, var) in store.named_vars() {
                let is_frozen = model.parameter_group(&name) == ParameterGroup::Frozen;
                let size = grads.get(&var).map(|grad| values(grad).iter().map(|g| g.abs()).sum::<f32>());
                match size {
                    None => assert!(is_frozen, "{} gets no gradient", what(&name)),
                    Some(size) => assert!(!is_frozen && size > 0.0 && size.is_finite(), "{}: {size}", what(&name)),
                }
            }
            optimizer.step(&grads).unwrap();
            for (name, var) in store.named_vars() {
                if model.parameter_group(&name) == ParameterGroup::Frozen {
                    assert_eq!(values(&before[&name]), values(&var), "{}", what(&name));
                }
            }
            let [start, end] = [start, loss(&model)].map(|loss| loss.to_scalar::<f32>().unwrap());
            assert!(end.is_finite() && end != start, "{start} to {end}: {config:?}");
        }
    }
}

fn frozen_layers(config: &BackboneConfig) -> BTreeSet<String> {
    let store = ParameterStore::new();
    config.build(store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
    let mut all = BTreeMap::<String, bool>::new();
    for (name, _) in store.named_vars() {
        let layer: Vec<&str> = name.split('.').take(if name.starts_with("features.") { 2 } else { 1 }).collect();
        let is_frozen = config.parameter_group(&name) == ParameterGroup::Frozen;
        *all.entry(layer.join(".")).or_insert(true) &= is_frozen;
    }
    all.into_iter().filter(|(_, is_frozen)| *is_frozen).map(|(layer, _)| layer).collect()
}

#[test]
fn stages_are_frozen_from_the_front() {
    let feature = |indices: &[usize]| indices.iter().map(|index| format!("features.{index}")).collect::<BTreeSet<_>>();
    let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let at = |stages: usize| trunks(stages, BatchNormMode::Train).split_off(1);
    let [none, two] = [0, 2].map(|stages| at(stages).iter().map(frozen_layers).collect::<Vec<_>>());
    assert!(none.iter().all(BTreeSet::is_empty), "{none:?}");
    let want =
        [feature(&[0, 2, 5, 7]), named(&["bn1", "conv1", "layer1"]), feature(&[0, 1, 2, 3]), feature(&[0, 3, 4, 5])];
    assert_eq!(two, want);
    for (config, stages) in at(4).into_iter().zip([5, 5, 5, 4]) {
        // One stage less than all, or all.
        let left = store_len(&config) - frozen_layers(&config).len();
        assert_eq!(left == 0, stages == 4, "{config:?}");
    }
}

fn store_len(config: &BackboneConfig) -> usize {
    let store = ParameterStore::new();
    config.build(store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
    let layer =
        |name: &str| name.split('.').take(if name.starts_with("features.") { 2 } else { 1 }).collect::<String>();
    store.named_vars().iter().map(|(name, _)| layer(name)).collect::<BTreeSet<_>>().len()
}

#[test]
fn statistics_move_in_training_outside_of_frozen_stages() {
    for config in trunks(1, BatchNormMode::Train) {
        let store = ParameterStore::new();
        let trunk = config.build(store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
        let before = store.snapshot().unwrap();
        let image = image(3, 2, [48, 48]);
        trunk.forward(&image, None).unwrap();
        let moved = || {
            let moved = store.named_vars().into_iter().filter(|(name, var)| values(&before[name]) != values(var));
            moved.map(|(name, _)| name).collect::<BTreeSet<_>>()
        };
        assert_eq!(moved(), BTreeSet::new(), "{config:?}");
        trunk.forward(&image, Some(&SeededSampler::new(0))).unwrap();
        let layers = frozen_layers(&config);
        let in_frozen_stage = |name: &str| layers.iter().any(|layer| name.starts_with(&format!("{layer}.")));
        let resnet38d = matches!(config, BackboneConfig::ResNet38d(_));
        let want: BTreeSet<String> = before
            .keys()
            .filter(|name| name.contains(".running_") && (resnet38d || !in_frozen_stage(name)))
            .cloned()
            .collect();
        assert_eq!(moved(), want, "{config:?}");
    }
}

#[test]
fn plain_tensors_and_fully_frozen_trunks_build_no_graph() {
    let mut frozen = trunks(4, BatchNormMode::Frozen).split_off(1);
    for config in &mut frozen {
        match config {
            BackboneConfig::ResNet38d(_) | BackboneConfig::SqueezeNet(_) => {}
            BackboneConfig::Vgg16(config) => config.frozen_stages = 5,
            BackboneConfig::ResNet50(config) => config.frozen_stages = 5,
            BackboneConfig::MobileNetV2(config) => config.frozen_stages = 5,
        }
    }
    let image = image(0, 1, [32, 40]);
    for (free, frozen) in trunks(0, BatchNormMode::Frozen).split_off(1).iter().zip(&frozen) {
        let store = ParameterStore::new();
        let with = free.build(store.var_builder(1, DType::F32, &Device::Cpu)).unwrap().forward(&image, None).unwrap();
        assert!(with.low.track_op() && with.high.track_op() && with.last.track_op());
        let frozen = frozen.build(store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
        let tensors = store.snapshot().unwrap().into_iter().collect();
        let plain = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        for without in [frozen, free.build(plain).unwrap()] {
            let without = without.forward(&image, None).unwrap();
            assert_close("last", &without.last, &with.last, 0.0).unwrap();
            assert!(!without.low.track_op() && !without.high.track_op() && !without.last.track_op());
        }
    }
}

// Images of odd sides down to the smallest: cells, and a clear message below.
#[test]
fn sizes() {
    let cells = |config: &BackboneConfig, size: [usize; 2]| {
        let trunk = config.build(ParameterStore::new().var_builder(1, DType::F32, &Device::Cpu)).unwrap();
        trunk.forward(&image(0, 1, size), None).map(|taps| (taps.last.dims()[2], taps.last.dims()[3]))
    };
    let [_, vgg16, resnet50, mobilenet, squeezenet] = <[_; 5]>::try_from(trunks(0, BatchNormMode::Frozen)).unwrap();
    for (config, size, want) in [
        (&vgg16, [71, 64], (8, 8)),
        (&vgg16, [8, 15], (1, 1)),
        (&resnet50, [33, 16], (3, 1)),
        (&resnet50, [1, 17], (1, 2)),
        (&mobilenet, [33, 16], (3, 1)),
        (&mobilenet, [1, 17], (1, 2)),
        (&squeezenet, [224, 21], (13, 1)),
    ] {
        assert_eq!(cells(config, size).unwrap(), want, "{size:?} {config:?}");
    }
    for (config, size, message) in [
        (&vgg16, [7, 8], "image: expected shape (N, 3, 8.., 8..), got [1, 3, 7, 8]"),
        (&squeezenet, [32, 20], "image: expected shape (N, 3, 21.., 21..), got [1, 3, 32, 20]"),
        (&resnet50, [0, 8], "image: expected shape (N, 3, 1.., 1..), got [1, 3, 0, 8]"),
    ] {
        assert_eq!(cells(config, size).unwrap_err().to_string(), message);
    }
}

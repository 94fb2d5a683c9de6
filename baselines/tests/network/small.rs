//! SEAM at a small width: shapes, gradients, dropout, batch normalisation, parameter groups.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::{assert_close, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, Mode, Pair, ParameterGroup, ParameterStore, Progress, SeededSampler, Step,
    View, ViewOutput,
};
use candle_wsss_baselines::backbone::{BackboneConfig, BatchNormMode, ResNet38dConfig};
use candle_wsss_baselines::seam::{FeatureTap, Seam, SeamConfig, background_to_last};

const FOREGROUND: usize = 4;

fn trunk(divisor: usize) -> ResNet38dConfig {
    ResNet38dConfig { width_divisor: divisor, ..ResNet38dConfig::default() }
}

fn config(divisor: usize) -> SeamConfig {
    let backbone = BackboneConfig::ResNet38d(trunk(divisor));
    SeamConfig { backbone, ..SeamConfig::default() }
}

fn build(config: SeamConfig, dtype: DType) -> (Seam, ParameterStore) {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, dtype, &Device::Cpu);
    (Seam::new(config, ClassLayout::new(FOREGROUND).unwrap(), vb).unwrap(), store)
}

fn view(seed: u64, images: usize, size: [usize; 2], dtype: DType) -> View {
    View::new(randn(seed, &[images, 3, size[0], size[1]]).unwrap().to_dtype(dtype).unwrap()).unwrap()
}

fn labels(dtype: DType) -> ImageLabels {
    let layout = ClassLayout::new(FOREGROUND).unwrap();
    ImageLabels::new(vec![vec![0, 3], vec![2]], layout, dtype, &Device::Cpu).unwrap()
}

fn train(model: &Seam, views: &Pair<View>, seed: u64) -> Pair<ViewOutput> {
    let root = SeededSampler::new(seed);
    let run = |view: &View, scope: &str| model.forward(view, Mode::Train(&mut root.child(scope))).unwrap();
    Pair::new(run(&views.source, "source"), run(&views.target, "target"))
}

fn total(model: &Seam, views: &Pair<View>, outputs: &Pair<ViewOutput>, labels: &ImageLabels) -> Tensor {
    let step = Step { model, views, outputs, labels, progress: Progress::default() };
    let objective = model.objective(&step, &SeededSampler::new(0)).unwrap();
    let names: Vec<&str> = objective.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(names, ["cls", "min_pool", "er", "ecr"]);
    objective.terms.total().unwrap().unwrap()
}

// Everything but the frozen parameters learns; those are just the stem and all of batch normalisation.
#[test]
fn every_parameter_learns_or_is_frozen() {
    for train_batch_norm in [false, true] {
        let mut trunk = trunk(16);
        if train_batch_norm {
            trunk.batch_norm = BatchNormMode::Train;
            trunk.freeze_stem = false;
        }
        let config = SeamConfig { backbone: BackboneConfig::ResNet38d(trunk), ..SeamConfig::default() };
        let (model, store) = build(config, DType::F32);
        let views = Pair::new(view(1, 2, [48, 40], DType::F32), view(2, 2, [24, 20], DType::F32));
        let outputs = train(&model, &views, 5);
        outputs.as_ref().try_map(|output| output.check(model.spec())).unwrap();
        let grads = total(&model, &views, &outputs, &labels(DType::F32)).backward().unwrap();
        for (name, var) in store.named_vars() {
            let frozen = model.parameter_group(&name) == ParameterGroup::Frozen;
            let is_statistic = name.contains("running_");
            let is_batch_norm = name.split('.').any(|part| part.starts_with("bn"));
            let is_stem = name.starts_with("conv1a.") || name.starts_with("b2.") || name.starts_with("b2_");
            let want_frozen = if train_batch_norm { is_statistic } else { is_batch_norm || is_stem };
            assert_eq!(frozen, want_frozen, "{name}");
            let size = grads.get(&var).map(|grad| grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
            match size {
                None => assert!(frozen, "{name} gets no gradient"),
                Some(size) => assert!(!frozen && size > 0.0 && size.is_finite(), "{name}: {size}"),
            }
        }
    }
}

#[test]
fn names_are_those_of_the_released_network() {
    let f = crate::fixture::Fixture::with_prefix("net_seam").remove(0);
    let want: BTreeSet<String> = f.json["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.as_str().unwrap().split(' ').next().unwrap().to_string())
        .collect();
    let (_, store) = build(config(64), DType::F32);
    let got: BTreeSet<String> = store.named_vars().into_iter().map(|(name, _)| name).collect();
    assert_eq!(got, want);
}

#[test]
fn groups_do_not_depend_on_the_scope() {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F32, &Device::Cpu).pp("net").pp("seam");
    let model = Seam::new(config(64), ClassLayout::new(FOREGROUND).unwrap(), vb).unwrap();
    let group = |name: &str| model.parameter_group(name);
    for name in ["fc8", "f8_3", "f8_4", "f9"] {
        assert_eq!(group(&format!("net.seam.{name}.weight")), ParameterGroup::FromScratch);
    }
    for name in ["conv1a.weight", "b2_2.conv_branch2a.weight", "b4.bn_branch2a.bias", "bn7.running_var"] {
        assert_eq!(group(&format!("net.seam.{name}")), ParameterGroup::Frozen);
    }
    for name in ["b3.conv_branch1.weight", "b7.conv_branch2b2.weight"] {
        assert_eq!(group(&format!("net.seam.{name}")), ParameterGroup::Pretrained);
    }
}

#[test]
fn sizes_are_an_eighth_rounded_up() {
    let (model, _) = build(config(64), DType::F32);
    for (size, cells) in [([32, 32], [4, 4]), ([33, 47], [5, 6]), ([8, 57], [1, 8]), ([1, 1], [1, 1])] {
        let output = model.forward(&view(0, 1, size, DType::F32), Mode::Eval).unwrap();
        output.check(model.spec()).unwrap();
        assert_eq!(output.cam.dims()[2..], cells, "{size:?}");
        assert_eq!(output.seed_cam().dims(), output.cam.dims());
    }
}

#[test]
fn dropout_follows_the_sampler_and_stops_in_evaluation() {
    let mut before = config(32);
    before.feature_tap = FeatureTap::BeforeDropout;
    let (after, store) = build(config(32), DType::F64);
    let vb = store.var_builder(1, DType::F64, &Device::Cpu);
    let before = Seam::new(before, after.spec().layout, vb).unwrap();
    let view = view(3, 2, [24, 24], DType::F64);
    let run = |model: &Seam, seed: u64| model.forward(&view, Mode::Train(&mut SeededSampler::new(seed))).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(values(&run(&after, 1).cam), values(&run(&after, 1).cam));
    assert_ne!(values(&run(&after, 1).cam), values(&run(&after, 2).cam));
    assert_eq!(values(&run(&after, 1).cam), values(&run(&before, 1).cam));

    // A channel is dropped whole, or doubled.
    let kept = (run(&before, 1).features * 2.0).unwrap();
    let dropped = run(&after, 1).features;
    let (_, channels, h, w) = dropped.dims4().unwrap();
    let (kept, dropped) = (values(&kept), values(&dropped));
    let mut zeroed = 0;
    for (kept, dropped) in kept.chunks(h * w).zip(dropped.chunks(h * w)) {
        let is_zero = dropped.iter().all(|v| *v == 0.0);
        assert!(is_zero || dropped == kept);
        zeroed += usize::from(is_zero);
    }
    assert!((channels / 2..channels * 3 / 2).contains(&zeroed), "{zeroed} of {}", 2 * channels);

    let evaluate = |model: &Seam| values(&model.forward(&view, Mode::Eval).unwrap().features);
    assert_eq!(evaluate(&after), evaluate(&before));
}

#[test]
fn running_statistics_move_in_training_only() {
    let trunk = ResNet38dConfig { batch_norm: BatchNormMode::Train, ..trunk(64) };
    let config = SeamConfig { backbone: BackboneConfig::ResNet38d(trunk), ..SeamConfig::default() };
    let (model, store) = build(config, DType::F64);
    let view = view(4, 2, [24, 24], DType::F64);
    let statistics = || {
        let vars = store.named_vars().into_iter().filter(|(name, _)| name.contains("running_"));
        vars.map(|(_, var)| var.flatten_all().unwrap().to_vec1::<f64>().unwrap()).collect::<Vec<_>>()
    };
    let start = statistics();
    model.forward(&view, Mode::Eval).unwrap();
    assert_eq!(start, statistics());
    model.forward(&view, Mode::Train(&mut SeededSampler::new(0))).unwrap();
    assert!(start.iter().zip(&statistics()).all(|(before, after)| before != after));
}

// Plain tensors carry no graph, so inference keeps no activation alive.
#[test]
fn a_network_of_plain_tensors_builds_no_graph() {
    let (model, store) = build(config(64), DType::F32);
    let tensors = store.snapshot().unwrap().into_iter().collect();
    let vb = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let plain = Seam::new(config(64), model.spec().layout, vb).unwrap();
    let view = view(0, 1, [16, 16], DType::F32);
    let (with, without) = (model.forward(&view, Mode::Eval).unwrap(), plain.forward(&view, Mode::Eval).unwrap());
    assert_close("cam", &without.cam, &with.cam, 0.0).unwrap();
    assert!(with.cam.track_op() && !without.cam.track_op());
}

#[test]
fn losses_at_the_size_of_the_image_or_of_the_maps() {
    let mut low = config(64);
    low.loss.upsample_cams = false;
    let (high, store) = build(config(64), DType::F64);
    let low = Seam::new(low, high.spec().layout, store.var_builder(1, DType::F64, &Device::Cpu)).unwrap();
    let views = Pair::new(view(1, 2, [40, 40], DType::F64), view(2, 2, [24, 24], DType::F64));
    let outputs = views.as_ref().map(|view| high.forward(view, Mode::Eval).unwrap());
    let labels = labels(DType::F64);
    let value = |model: &Seam| total(model, &views, &outputs, &labels).to_scalar::<f64>().unwrap();
    assert!((value(&low) - value(&high)).abs() > 1e-6);
}

#[test]
fn background_moves_to_the_end() {
    let weight = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((3, 2, 1, 1)).unwrap();
    let moved = background_to_last(&weight, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(moved, [2.0, 3.0, 4.0, 5.0, 0.0, 1.0]);
    assert!(background_to_last(&weight, 4).is_err());
}

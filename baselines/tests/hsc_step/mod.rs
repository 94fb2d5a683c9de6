//! The released HSC step as a whole: SEAM's and EPS's losses and the three levels, background last.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use candle_core::{DType, Tensor};
use candle_wsss::ops::{self, Corners};
use candle_wsss::regularizer::hsc::{
    ClassConfig, HscBanks, HscConfig, HscMaps, HscSeeds, PixelConfig, RoiConfig, evaluate,
};
use candle_wsss::seed::Refine;
use candle_wsss::{ImageLabels, Objective, Pair, PrototypeBank, View};
use candle_wsss_baselines::eps::loss::{EpsMaps, objective, saliency_fit};
use candle_wsss_baselines::eps::{EpsConfig, EpsLossConfig, EpsLosses};
use candle_wsss_baselines::seam::loss::{self, ViewMaps};

use crate::fixture::Fixture;
use crate::support::{Inputs, SCALAR, TENSOR, background_last, labels};

const INPUTS: [&str; 6] = ["pred1", "cam1", "cam_rv1", "pred2", "cam2", "cam_rv2"];
const FEATURES: [&str; 4] = ["feat1_1", "feat1_2", "feat2_1", "feat2_2"];

fn config(f: &Fixture) -> EpsLosses {
    let saliency = EpsLossConfig {
        overlap_threshold: f.constant("tau"),
        foreground_share: f.constant("alpha"),
        ..EpsLossConfig::default()
    };
    EpsLosses { saliency, ..EpsConfig::with_pcm().loss }
}

fn maps(f: &Fixture, inputs: &Inputs) -> Pair<ViewMaps> {
    let background = f.count("background_channel");
    Pair::new(1, 2).map(|view| {
        let get = |name: &str| background_last(inputs.get(&format!("{name}{view}")), background);
        let scores = get("pred");
        let logits = scores.narrow(1, 0, scores.dim(1).unwrap() - 1).unwrap();
        ViewMaps { logits, cam: get("cam"), refined: get("cam_rv") }
    })
}

fn at_view2_size(f: &Fixture, map: &Tensor) -> Tensor {
    let side = f.count("view2_image");
    ops::resize_bilinear(map, (side, side), Corners::Aligned).unwrap()
}

fn saliency(f: &Fixture) -> Pair<Tensor> {
    let saliency = f.tensor("saliency");
    let smaller = at_view2_size(f, &saliency);
    Pair::new(saliency, smaller)
}

/// Cls, min-pool, ER, ECR and saliency as one scalar, every part of it compared.
fn baseline_loss(f: &Fixture, maps: &Pair<ViewMaps>, labels: &ImageLabels) -> Tensor {
    let maps = maps.clone().zip(saliency(f)).map(|(ViewMaps { logits, cam, refined }, saliency)| EpsMaps {
        logits,
        cam,
        refined: Some(refined),
        saliency: Some(saliency),
    });
    let objective = objective(&maps, labels, &config(f)).unwrap();
    let term = |name: &str| objective.terms.get(name).unwrap().value.clone();
    f.check_scalar("loss_cls", &(term("cls") + term("min_pool")).unwrap(), SCALAR);
    f.check_scalar("loss_er", &term("er"), SCALAR);
    f.check_scalar("loss_ecr", &term("ecr"), SCALAR);
    f.check_scalar("loss_sal", &term("sal"), SCALAR);
    objective.terms.total().unwrap().unwrap()
}

#[test]
fn baseline_losses_and_gradients() {
    for f in Fixture::with_prefix("hsc_train_step") {
        let inputs = Inputs::new(&f, &INPUTS);
        let labels = labels(&f);
        let maps = maps(&f, &inputs);
        // The levels give these inputs no gradient, so what is stored for the whole step is the baseline's.
        inputs.check_gradients(&f, "loss", &baseline_loss(&f, &maps, &labels));

        let config = config(&f);
        let saliency = saliency(&f);
        let fit =
            |map: &Tensor, saliency: &Tensor| saliency_fit(map, saliency, &labels, &config.saliency).unwrap().loss;
        f.check_scalar("loss_sal2", &fit(&maps.target.cam, &saliency.target), SCALAR);
        f.check_scalar("loss_sal_rv", &fit(&maps.source.refined, &saliency.source), SCALAR);
        f.check_scalar("loss_sal_rv2", &fit(&maps.target.refined, &saliency.target), SCALAR);
        let cls = ops::soft_margin(&maps.target.logits, labels.multi_hot()).unwrap();
        f.check_scalar("loss_cls2", &cls, SCALAR);
        for (view, maps) in [(1, &maps.source), (2, &maps.target)] {
            let pooled = loss::min_pool(&maps.refined, &labels, config.min_pool_divisor).unwrap().unwrap();
            f.check_scalar(&format!("loss_cls_rv{view}"), &pooled, SCALAR);
        }
        let aligned = loss::Aligned::new(&maps, &labels).unwrap();
        let target = |cam: &Tensor| loss::one_hot_target(cam, labels.layout(), config.one_hot_channels).unwrap();
        let cross = aligned.cam.as_ref().map(target).swapped().zip(aligned.refined);
        for (direction, (target, refined)) in [(1, cross.source), (2, cross.target)] {
            let value = loss::cross_equivariance(&target, &refined, config.ecr_fraction).unwrap().unwrap();
            f.check_scalar(&format!("loss_ecr{direction}"), &value, SCALAR);
        }
    }
}

fn hsc_config(f: &Fixture) -> HscConfig {
    let (grid, weight, momentum) = (f.count("grid"), f.constant("gamma"), f.constant("momentum"));
    let temperature = f.constant("temperature");
    let (top_k, high_k) = (f.count("csc_topk"), f.count("csc_high"));
    let pixels_per_prototype_divisor = grid * grid / f.count("psc_topk");
    HscConfig {
        background_score: f.constant("bg_thres"),
        grid: (grid, grid),
        // Labels are taken from the file: the released lattice is an approximation of the exact kernels.
        refine: Refine::None,
        roi: RoiConfig { weight, momentum, ..RoiConfig::default() },
        class: ClassConfig { weight, momentum, temperature, top_k, high_k, ..ClassConfig::default() },
        pixel: PixelConfig { weight, momentum, temperature, pixels_per_prototype_divisor, ..PixelConfig::default() },
        ..HscConfig::default()
    }
}

fn levels(f: &Fixture, inputs: &Inputs, maps: &Pair<ViewMaps>, labels: &ImageLabels) -> Objective {
    let config = hsc_config(f);
    let cams = maps.as_ref().map(|maps| &maps.refined);
    let view = View::new(at_view2_size(f, &f.tensor("img"))).unwrap();
    let mut seeds = HscSeeds::new(cams, &view, labels, &config).unwrap();
    let refined = |view: usize| f.raw(&format!("pseudo_label_crf{view}")).to_dtype(DType::U32).unwrap();
    seeds.labels = Pair::new(1, 2).map(refined);
    let feature = |name: String| inputs.get(&name).clone();
    let projected = Pair::new(1, 2)
        .map(|view| HscMaps { pixel: feature(format!("feat{view}_1")), region: feature(format!("feat{view}_2")) });
    let banks =
        |source: &str, target: &str| Pair::new(source, target).map(|name| PrototypeBank::from_rows(&f.tensor(name)));
    let banks = HscBanks {
        roi: banks("memobank_fb", "memobank1_fb"),
        class: banks("memobank1", "memobank2"),
        pixel: banks("memobank1_p", "memobank2_p"),
    };
    evaluate(&projected, &seeds, labels, &banks, &config).unwrap()
}

#[test]
fn whole_step() {
    for f in Fixture::with_prefix("hsc_train_step") {
        let names: Vec<&str> = INPUTS.into_iter().chain(FEATURES).collect();
        let inputs = Inputs::new(&f, &names);
        let labels = labels(&f);
        let maps = maps(&f, &inputs);
        let baseline = baseline_loss(&f, &maps, &labels);
        let mut objective = levels(&f, &inputs, &maps, &labels);
        for (level, scalar) in [("roi/", "loss_rsc"), ("class/", "loss_csc"), ("pixel/", "loss_psc")] {
            let own = objective.terms.iter().filter(|term| term.name.starts_with(level));
            let sum: f64 = own.map(|term| term.weight * term.value.to_scalar::<f64>().unwrap()).sum();
            f.check_scalar(scalar, &Tensor::new(sum, labels.multi_hot().device()).unwrap(), SCALAR);
        }
        let total = (baseline + objective.terms.total().unwrap().unwrap()).unwrap();
        f.check_scalar("loss", &total, SCALAR);
        inputs.check_gradients(&f, "loss", &total);
        for (key, name) in [
            ("roi.source", "memobank_fb"),
            ("roi.target", "memobank1_fb"),
            ("class.source", "memobank1"),
            ("class.target", "memobank2"),
            ("pixel.source", "memobank1_p"),
            ("pixel.target", "memobank2_p"),
        ] {
            let rows = objective.memory.take(key, f.raw(name).dims()).unwrap();
            f.check(&format!("{name}_after"), &rows, TENSOR);
        }
        objective.memory.expect_empty().unwrap();
    }
}

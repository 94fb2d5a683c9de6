//! SEAM's losses and pixel correlation module against the released code.

use candle_core::{D, Tensor, Var};
use candle_wsss::testing::assert_close;
use candle_wsss::{Pair, ops, seed};
use candle_wsss_baselines::seam::loss::{self, Aligned, ViewMaps};
use candle_wsss_baselines::seam::{SeamLossConfig, background_to_last, pcm};

use crate::fixture::Fixture;
use crate::support::{Inputs, SCALAR, TENSOR, background_last, labels, spatial_mean};

fn config(f: &Fixture) -> SeamLossConfig {
    SeamLossConfig {
        min_pool_divisor: f.count("minpool_divisor"),
        ecr_fraction: f.constant("ecr_fraction"),
        ..SeamLossConfig::default()
    }
}

fn maps(f: &Fixture, inputs: &Inputs, view: usize) -> ViewMaps {
    let background = f.count("background_channel");
    let cam = background_last(inputs.get(&format!("cam{view}")), background);
    let refined = background_last(inputs.get(&format!("cam_rv{view}")), background);
    let means = spatial_mean(&cam);
    let want = background_last(&f.tensor(&format!("pred{view}")).unsqueeze(2).unwrap(), background);
    assert_close("pred", &means.unsqueeze(2).unwrap(), &want, TENSOR).unwrap();
    let foreground = means.dim(1).unwrap() - 1;
    ViewMaps { logits: means.narrow(1, 0, foreground).unwrap(), cam, refined }
}

#[test]
fn losses_and_gradients_of_a_step() {
    for f in Fixture::with_prefix("seam_train_step").into_iter().chain(Fixture::with_prefix("seam_edge")) {
        let inputs = Inputs::new(&f, &["cam1", "cam_rv1", "cam2", "cam_rv2"]);
        let maps = Pair::new(maps(&f, &inputs, 1), maps(&f, &inputs, 2));
        let labels = labels(&f);
        let config = config(&f);
        let objective = loss::objective(&maps, &labels, &config).unwrap();
        assert!(objective.terms.omitted().is_empty());
        let term = |name: &str| objective.terms.get(name).unwrap().value.clone();
        let cls = (term("cls") + term("min_pool")).unwrap();
        let total = objective.terms.total().unwrap().unwrap();
        for (name, value) in
            [("loss_cls", &cls), ("loss_er", &term("er")), ("loss_ecr", &term("ecr")), ("loss", &total)]
        {
            f.check_scalar(name, value, SCALAR);
            if name != "loss" {
                inputs.check_gradients(&f, name, value);
            }
        }
        parts_of_a_step(&f, &maps, &config);
    }
}

fn parts_of_a_step(f: &Fixture, maps: &Pair<ViewMaps>, config: &SeamLossConfig) {
    let labels = labels(f);
    let background = f.count("background_channel");
    let ours = |name: &str| background_last(&f.tensor(name), background);
    let check = |name: &str, got: &Tensor| {
        if f.has(name) {
            assert_close(&format!("{}: {name}", f.name), got, &ours(name), TENSOR).unwrap();
        }
    };
    for (view, maps) in [(1, &maps.source), (2, &maps.target)] {
        f.check_scalar(
            &format!("loss_cls{view}"),
            &ops::soft_margin(&maps.logits, labels.multi_hot()).unwrap(),
            SCALAR,
        );
        let pooled = loss::min_pool(&maps.refined, &labels, config.min_pool_divisor).unwrap().unwrap();
        f.check_scalar(&format!("loss_rvmin{view}"), &pooled, SCALAR);
        for (name, map) in [("cam", &maps.cam), ("cam_rv", &maps.refined)] {
            let normalized = seed::max_norm(map).unwrap();
            check(&format!("max_norm_{name}{view}"), &normalized);
        }
    }
    let aligned = Aligned::new(maps, &labels).unwrap();
    let one_hot = |cam: &Tensor| loss::one_hot_target(cam, labels.layout(), config.one_hot_channels).unwrap();
    let directions =
        [(1, &aligned.cam.target, 2, &aligned.refined.source), (2, &aligned.cam.source, 1, &aligned.refined.target)];
    for (direction, cam, other, refined) in directions {
        let target = one_hot(cam);
        check(&format!("onehot_cam{other}"), &target);
        check(&format!("tensor_ecr{direction}"), &(&target - refined).unwrap().abs().unwrap());
        let value = loss::cross_equivariance(&target, refined, config.ecr_fraction).unwrap().unwrap();
        f.check_scalar(&format!("loss_ecr{direction}"), &value, SCALAR);
    }
}

#[test]
fn pixel_correlation_module() {
    for f in Fixture::with_prefix("seam_pcm") {
        let epsilon = f.constant("eps");
        let raw = background_to_last(&f.tensor("cam"), 1).unwrap();
        let layout = candle_wsss::ClassLayout::new(raw.dim(1).unwrap() - 1).unwrap();
        let seeds = pcm::normalized_seeds(&raw, layout, epsilon).unwrap();
        let ours = |name: &str| background_to_last(&f.tensor(name), 1).unwrap();
        assert_close("cam_d_norm", &seeds, &ours("cam_d_norm"), TENSOR).unwrap();

        let features = Var::from_tensor(&f.tensor("f")).unwrap();
        let projection = Var::from_tensor(&f.tensor("f9_weight")).unwrap();
        let correlation = ops::conv2d(&features, &projection, ops::Conv2dSpec::default()).unwrap();
        let matrix = pcm::affinity(&correlation, epsilon).unwrap().get(0).unwrap();
        let sums = (matrix.sum_keepdim(0).unwrap() + epsilon).unwrap();
        f.check("aff_image0", &matrix.broadcast_div(&sums).unwrap(), TENSOR);

        let cotangent = ours("cotangent");
        let run = |cam: &Var| {
            let refined = pcm::refine(cam, &correlation, epsilon).unwrap();
            let sum = (&refined * &cotangent).unwrap().sum_all().unwrap();
            (refined, sum)
        };
        let cam = Var::from_tensor(&seeds).unwrap();
        let (refined, sum) = run(&cam);
        assert_close("cam_rv", &refined, &ours("cam_rv"), TENSOR).unwrap();
        f.check_scalar("S", &sum, SCALAR);
        let grads = sum.backward().unwrap();
        f.check("grad_f", grads.get(&features).unwrap(), TENSOR);
        f.check("grad_f9", grads.get(&projection).unwrap(), TENSOR);
        assert_close("grad_cam", grads.get(&cam).unwrap(), &ours("grad_cam"), TENSOR).unwrap();

        let small = Var::from_tensor(&ours("cam_small")).unwrap();
        let (refined, sum) = run(&small);
        assert_close("cam_rv_resized", &refined, &ours("cam_rv_resized"), TENSOR).unwrap();
        f.check_scalar("S_resized", &sum, SCALAR);
        let grad = sum.backward().unwrap().get(&small).unwrap().clone();
        assert_close("grad_cam_resized", &grad, &ours("grad_cam_resized"), TENSOR).unwrap();
        assert_eq!(refined.dim(D::Minus1).unwrap(), features.dim(D::Minus1).unwrap());
    }
}

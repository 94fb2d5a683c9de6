//! The baseline's part of the released HSC step: SEAM's and EPS's losses together, background last.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use candle_core::Tensor;
use candle_wsss::ops::{self, Corners};
use candle_wsss::{ImageLabels, Pair};
use candle_wsss_baselines::eps::EpsLossConfig;
use candle_wsss_baselines::eps::loss::saliency_fit;
use candle_wsss_baselines::seam::loss::{self, ViewMaps};
use candle_wsss_baselines::seam::{OneHotChannels, SeamLossConfig};

use crate::fixture::Fixture;
use crate::support::{Inputs, SCALAR, background_last, labels};

const INPUTS: [&str; 6] = ["pred1", "cam1", "cam_rv1", "pred2", "cam2", "cam_rv2"];

fn maps(f: &Fixture, inputs: &Inputs, view: usize) -> ViewMaps {
    let background = f.count("background_channel");
    let get = |name: &str| background_last(inputs.get(&format!("{name}{view}")), background);
    let scores = get("pred");
    let logits = scores.narrow(1, 0, scores.dim(1).unwrap() - 1).unwrap();
    ViewMaps { logits, cam: get("cam"), refined: get("cam_rv") }
}

/// Saliency losses of the plain and of the refined maps, both views.
fn saliency_losses(f: &Fixture, maps: &Pair<ViewMaps>, labels: &ImageLabels) -> [Pair<Tensor>; 2] {
    let config = EpsLossConfig {
        overlap_threshold: f.constant("tau"),
        foreground_share: f.constant("alpha"),
        ..EpsLossConfig::default()
    };
    let saliency = f.tensor("saliency");
    let side = f.count("view2_image");
    let target = ops::resize_bilinear(&saliency, (side, side), Corners::Aligned).unwrap();
    let saliency = Pair::new(saliency, target);
    let fit = |pick: fn(&ViewMaps) -> &Tensor| {
        let both = maps.as_ref().zip(saliency.as_ref());
        both.try_map(|(maps, saliency)| {
            Ok::<_, candle_wsss::Error>(saliency_fit(pick(maps), saliency, labels, &config)?.loss)
        })
        .unwrap()
    };
    [fit(|maps| &maps.cam), fit(|maps| &maps.refined)]
}

#[test]
fn baseline_losses_and_gradients() {
    for f in Fixture::with_prefix("hsc_train_step") {
        let inputs = Inputs::new(&f, &INPUTS);
        let labels = labels(&f);
        let maps = Pair::new(maps(&f, &inputs, 1), maps(&f, &inputs, 2));
        let config = SeamLossConfig {
            upsample_cams: false,
            one_hot_channels: OneHotChannels::SkipFirst,
            ..SeamLossConfig::default()
        };
        let objective = loss::objective(&maps, &labels, &config).unwrap();
        let term = |name: &str| objective.terms.get(name).unwrap().value.clone();
        f.check_scalar("loss_cls", &(term("cls") + term("min_pool")).unwrap(), SCALAR);
        f.check_scalar("loss_er", &term("er"), SCALAR);
        f.check_scalar("loss_ecr", &term("ecr"), SCALAR);
        let [plain, refined] = saliency_losses(&f, &maps, &labels);
        f.check_scalar("loss_sal2", &plain.target, SCALAR);
        f.check_scalar("loss_sal_rv", &refined.source, SCALAR);
        f.check_scalar("loss_sal_rv2", &refined.target, SCALAR);
        let saliency = (plain.mean().unwrap() + refined.mean().unwrap()).unwrap();
        f.check_scalar("loss_sal", &saliency, SCALAR);
        parts(&f, &maps, &labels, &config);

        // The contrastive terms give these inputs no gradient, so the stored ones are the baseline's.
        let total = (objective.terms.total().unwrap().unwrap() + saliency).unwrap();
        inputs.check_gradients(&f, "loss", &total);
    }
}

fn parts(f: &Fixture, maps: &Pair<ViewMaps>, labels: &ImageLabels, config: &SeamLossConfig) {
    let cls = ops::soft_margin(&maps.target.logits, labels.multi_hot()).unwrap();
    f.check_scalar("loss_cls2", &cls, SCALAR);
    for (view, maps) in [(1, &maps.source), (2, &maps.target)] {
        let pooled = loss::min_pool(&maps.refined, labels, config.min_pool_divisor).unwrap().unwrap();
        f.check_scalar(&format!("loss_cls_rv{view}"), &pooled, SCALAR);
    }
    let aligned = loss::Aligned::new(maps, labels, config.max_norm_epsilon).unwrap();
    let target = |cam: &Tensor| loss::one_hot_target(cam, labels.layout(), config.one_hot_channels).unwrap();
    let directions =
        [(1, &aligned.cam.target, &aligned.refined.source), (2, &aligned.cam.source, &aligned.refined.target)];
    for (direction, cam, refined) in directions {
        let value = loss::cross_equivariance(&target(cam), refined, config.ecr_fraction).unwrap().unwrap();
        f.check_scalar(&format!("loss_ecr{direction}"), &value, SCALAR);
    }
}

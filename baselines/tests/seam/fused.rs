//! SEAM's losses from low-resolution maps against their composed form on enlarged maps: values and gradients.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{ClassLayout, ImageLabels, Objective, Pair, Result};
use candle_wsss_baselines::seam::loss::{self, ViewMaps};
use candle_wsss_baselines::seam::{OneHotChannels, SeamLossConfig};

const TERMS: [&str; 3] = ["min_pool", "er", "ecr"];

/// Sizes of the maps of both views and of their images.
struct Case {
    maps: Pair<(usize, usize)>,
    sizes: Pair<(usize, usize)>,
    present: &'static [&'static [usize]],
    foreground: usize,
}

fn case(maps: [(usize, usize); 2], sizes: [(usize, usize); 2], present: &'static [&'static [usize]]) -> Case {
    let pair = |[source, target]: [(usize, usize); 2]| Pair::new(source, target);
    Case { maps: pair(maps), sizes: pair(sizes), present, foreground: 4 }
}

fn cases() -> Vec<Case> {
    let one = Case { foreground: 1, ..case([(4, 4), (3, 3)], [(16, 16), (12, 12)], &[&[0], &[]]) };
    vec![
        case([(12, 12), (8, 8)], [(48, 48), (32, 32)], &[&[0, 2], &[1]]),
        case([(5, 7), (3, 4)], [(37, 51), (11, 16)], &[&[0, 1, 2, 3], &[3], &[]]),
        // The second view larger, the first one made smaller than its maps, and no enlargement at all.
        case([(4, 3), (6, 5)], [(9, 8), (33, 29)], &[&[1, 3]]),
        case([(13, 11), (9, 9)], [(6, 7), (5, 3)], &[&[0], &[2, 3]]),
        case([(9, 8), (5, 6)], [(9, 8), (5, 6)], &[&[0, 3], &[1, 2]]),
        // Vectors of one pixel, and views of one size.
        case([(1, 5), (2, 1)], [(10, 20), (10, 20)], &[&[0, 1]]),
        one,
    ]
}

fn labels(case: &Case) -> ImageLabels {
    let present = case.present.iter().map(|classes| classes.to_vec()).collect();
    ImageLabels::new(present, ClassLayout::new(case.foreground).unwrap(), DType::F64, &Device::Cpu).unwrap()
}

/// `cam` and `refined` of the source, then of the target.
fn inputs(case: &Case, seed: u64) -> Vec<Tensor> {
    let sizes = [case.maps.source, case.maps.source, case.maps.target, case.maps.target];
    let map = |(i, (h, w)): (usize, (usize, usize))| {
        randn(seed + i as u64, &[case.present.len(), case.foreground + 1, h, w]).unwrap()
    };
    sizes.into_iter().enumerate().map(map).collect()
}

fn maps(case: &Case, x: &[Tensor]) -> Pair<ViewMaps> {
    let logits = Tensor::zeros((case.present.len(), case.foreground), x[0].dtype(), &Device::Cpu).unwrap();
    let view = |cam: &Tensor, refined: &Tensor| ViewMaps {
        logits: logits.clone(),
        cam: cam.clone(),
        refined: refined.clone(),
    };
    Pair::new(view(&x[0], &x[1]), view(&x[2], &x[3]))
}

type Form = fn(&Pair<ViewMaps>, Pair<(usize, usize)>, &ImageLabels, &SeamLossConfig) -> Result<Objective>;

/// Values of the terms and, for each, the gradients of the four inputs.
fn evaluate(case: &Case, x: &[Tensor], config: &SeamLossConfig, form: Form) -> Vec<Option<(Tensor, Vec<Tensor>)>> {
    let vars: Vec<Var> = x.iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let objective = form(&maps(case, &tensors), case.sizes, &labels(case), config).unwrap();
    let term = |name: &&str| {
        let value = objective.terms.get(name)?.value.clone();
        // Not 1, as the factor above a term in a step.
        let grads = (&value * 1.5).unwrap().backward().unwrap();
        let of = |var: &Var| grads.get(var).cloned().unwrap_or_else(|| var.zeros_like().unwrap());
        Some((value, vars.iter().map(of).collect()))
    };
    TERMS.iter().map(term).collect()
}

fn compare(what: &str, case: &Case, x: &[Tensor], config: &SeamLossConfig, tolerance: f64) {
    let fused = evaluate(case, x, config, loss::objective_at);
    let composed = evaluate(case, x, config, loss::composed_objective);
    for ((name, fused), composed) in TERMS.iter().zip(fused).zip(composed) {
        let what = format!("{what}: {name}");
        let (Some(fused), Some(composed)) = (&fused, &composed) else {
            assert!(fused.is_none() && composed.is_none(), "{what} is left out by one form only");
            continue;
        };
        assert_eq!(fused.0.dtype(), composed.0.dtype(), "{what}");
        assert_close(&what, &fused.0, &composed.0, tolerance).unwrap();
        for (i, (fused, composed)) in fused.1.iter().zip(&composed.1).enumerate() {
            assert_eq!(fused.dtype(), composed.dtype(), "{what}");
            let what = format!("{what}, gradient {i}");
            assert_close(&what, fused, composed, tolerance).unwrap();
        }
    }
}

fn config(channels: OneHotChannels, ecr_fraction: f64) -> SeamLossConfig {
    SeamLossConfig { one_hot_channels: channels, ecr_fraction, min_pool_divisor: 3, ..SeamLossConfig::default() }
}

#[test]
fn is_the_composed_form() {
    for (i, case) in cases().iter().enumerate() {
        for (seed, channels) in [(10, OneHotChannels::Foreground), (20, OneHotChannels::SkipFirst)] {
            for (fraction, shift) in [(0.2, 0.0), (0.05, 1.5), (1.0, -0.7)] {
                // Shifted up, so that smallest values are above 0 and get their gradient, and down.
                let x: Vec<Tensor> = inputs(case, seed).iter().map(|x| (x + shift).unwrap()).collect();
                compare(&format!("case {i}"), case, &x, &config(channels, fraction), 1e-9);
            }
        }
    }
}

#[test]
fn is_the_composed_form_in_single_precision() {
    for (i, case) in cases().iter().enumerate() {
        let x: Vec<Tensor> = inputs(case, 30).iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
        compare(&format!("case {i}"), case, &x, &config(OneHotChannels::Foreground, 0.1), 2e-5);
    }
}

#[test]
fn is_the_composed_form_at_the_size_of_crops() {
    let case = case([(28, 28), (8, 8)], [(224, 224), (64, 64)], &[&[0, 2], &[1]]);
    let x: Vec<Tensor> = inputs(&case, 35).iter().map(|x| (x + 0.8).unwrap().to_dtype(DType::F32).unwrap()).collect();
    compare("crops", &case, &x, &config(OneHotChannels::Foreground, 0.2), 1e-4);
}

#[test]
fn half_precision_is_single_precision_rounded_once() {
    for dtype in [DType::F16, DType::BF16] {
        let case = &cases()[1];
        let x: Vec<Tensor> = inputs(case, 40).iter().map(|x| x.to_dtype(dtype).unwrap()).collect();
        let wide: Vec<Tensor> = x.iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
        let config = config(OneHotChannels::SkipFirst, 0.1);
        let (half, single) =
            (evaluate(case, &x, &config, loss::objective_at), evaluate(case, &wide, &config, loss::composed_objective));
        for (half, single) in half.into_iter().flatten().zip(single.into_iter().flatten()) {
            assert_eq!(half.0.dtype(), dtype);
            assert_close("value", &half.0, &single.0, 5e-3).unwrap();
            for (half, single) in half.1.iter().zip(&single.1) {
                assert_eq!(half.dtype(), dtype);
                assert_close("gradient", half, single, 1e-2).unwrap();
            }
        }
    }
}

#[test]
fn ties_and_constants() {
    // Few levels: ties of extrema, of competing channels and at the edge of what is chosen.
    let case = Case { foreground: 4, ..case([(6, 5), (4, 4)], [(6, 5), (4, 4)], &[&[0, 2, 3], &[1, 2], &[]]) };
    for seed in 0..12 {
        let levels = |x: &Tensor| (x * 2.0).unwrap().round().unwrap();
        let x: Vec<Tensor> = inputs(&case, 50 + 10 * seed).iter().map(levels).collect();
        let channels = if seed % 2 == 0 { OneHotChannels::Foreground } else { OneHotChannels::SkipFirst };
        compare(&format!("levels {seed}"), &case, &x, &config(channels, 0.17), 1e-11);
    }
    let enlarged = Case { sizes: Pair::new((17, 21), (9, 13)), ..case };
    for level in [0.0, -1.0, 2.5, 1e-7, 1e6] {
        let x: Vec<Tensor> =
            inputs(&enlarged, 0).iter().map(|x| Tensor::full(level, x.shape(), &Device::Cpu).unwrap()).collect();
        compare(&format!("constant {level}"), &enlarged, &x, &config(OneHotChannels::Foreground, 0.2), 1e-9);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let case = &case([(4, 5), (3, 3)], [(14, 17), (8, 9)], &[&[0, 2], &[1]]);
    // Above zero, where the minimum matters; with a min-pooling loss.
    let x: Vec<Tensor> = inputs(case, 60).iter().map(|x| (x + 1.2).unwrap()).collect();
    let config = config(OneHotChannels::Foreground, 0.13);
    let term = |x: &[Tensor], name: &str| {
        let objective = loss::objective_at(&maps(case, x), case.sizes, &labels(case), &config)?;
        Ok(objective.terms.get(name).unwrap().value.clone())
    };
    let of = |places: [usize; 2], name: &str| {
        let own = places.map(|place| x[place].clone());
        let error = gradient_error(&own, 60, |moved| {
            let mut all = x.clone();
            for (place, moved) in places.iter().zip(moved) {
                all[*place] = moved.clone();
            }
            term(&all, name)
        });
        assert!(error.unwrap() < 1e-5, "{name}");
    };
    of([0, 2], "er");
    of([1, 3], "ecr");
    of([1, 3], "min_pool");
}

#[test]
fn maps_without_gradient_have_the_same_values() {
    let case = &cases()[0];
    let (x, config) = (inputs(case, 70), config(OneHotChannels::Foreground, 0.1));
    let plain = loss::objective_at(&maps(case, &x), case.sizes, &labels(case), &config).unwrap();
    let tracked = evaluate(case, &x, &config, loss::objective_at);
    for (name, tracked) in TERMS.iter().zip(tracked) {
        let value = &plain.terms.get(name).unwrap().value;
        assert!(!value.track_op());
        assert_eq!(value.to_scalar::<f64>().unwrap(), tracked.unwrap().0.to_scalar::<f64>().unwrap(), "{name}");
    }
}

#[test]
fn threads_change_nothing() {
    let case = &case([(12, 12), (8, 8)], [(96, 96), (64, 64)], &[&[0, 2], &[1], &[], &[0, 1, 2, 3], &[3]]);
    let x: Vec<Tensor> = inputs(case, 80).iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let terms = pool.install(|| evaluate(case, &x, &config(OneHotChannels::Foreground, 0.1), loss::objective_at));
        let numbers = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let all = terms.into_iter().flatten().flat_map(|(value, grads)| [vec![value], grads].concat());
        all.flat_map(|x| numbers(&x)).map(f32::to_bits).collect::<Vec<u32>>()
    };
    assert!(run(1) == run(3));
}

//! SEAM's losses: against plain loops and finite differences, in closed form, and where they degenerate.

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{ClassLayout, ImageLabels, Pair, seed};
use candle_wsss_baselines::seam::loss::{self, Aligned, ViewMaps};
use candle_wsss_baselines::seam::{OneHotChannels, SeamConfig, SeamLossConfig, pcm};

use crate::support::{Grid, spatial_mean};

const FOREGROUND: usize = 3;
const EPSILON: f64 = 1e-5;

fn layout() -> ClassLayout {
    ClassLayout::new(FOREGROUND).unwrap()
}

fn label_list(present: &[&[usize]]) -> ImageLabels {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    ImageLabels::new(present, layout(), DType::F64, &Device::Cpu).unwrap()
}

fn view(cam: Tensor, refined: Tensor) -> ViewMaps {
    ViewMaps { logits: spatial_mean(&cam).narrow(1, 0, FOREGROUND).unwrap(), cam, refined }
}

fn random_maps(seed: u64) -> Pair<ViewMaps> {
    let random = |seed, size: [usize; 2]| randn(seed, &[2, FOREGROUND + 1, size[0], size[1]]).unwrap();
    Pair::new(
        view(random(seed, [5, 7]), random(seed + 1, [5, 7])),
        view(random(seed + 2, [3, 4]), random(seed + 3, [3, 4])),
    )
}

fn scalar(t: &Tensor) -> f64 {
    t.to_scalar().unwrap()
}

// Plain loops.

fn naive_max_norm(maps: &Grid) -> Grid {
    let rectified = maps.map(|_, v| v.max(0.0));
    maps.map(|[n, c, y, x], _| {
        let all: Vec<f64> = maps.pixels().iter().map(|(y, x)| rectified.at([n, c, *y, *x])).collect();
        let highest = all.iter().copied().fold(f64::MIN, f64::max);
        let lowest = all.iter().copied().fold(f64::MAX, f64::min);
        (rectified.at([n, c, y, x]) - lowest - EPSILON).max(0.0) / (highest - lowest + EPSILON)
    })
}

fn has(labels: &ImageLabels, image: usize, class: usize) -> bool {
    class == FOREGROUND || labels.of_image(image).contains(&class)
}

fn naive_align(map: &Tensor, size: [usize; 2], labels: &ImageLabels) -> Grid {
    let resized = naive_max_norm(&Grid::of(map)).resized(size[0], size[1]);
    resized.map(|[n, c, ..], v| if has(labels, n, c) { v } else { 0.0 })
}

fn naive_target(cam: &Grid, channels: OneHotChannels) -> Grid {
    let strongest = |of: &Grid, [n, _, y, x]: [usize; 4], range: std::ops::Range<usize>| {
        range.map(|c| of.at([n, c, y, x])).fold(f64::MIN, f64::max)
    };
    let full = cam.map(|p, v| if p[1] == FOREGROUND { 1.0 - strongest(cam, p, 0..FOREGROUND) } else { v });
    let competing = match channels {
        OneHotChannels::Foreground => 0..FOREGROUND,
        OneHotChannels::SkipFirst => 1..FOREGROUND + 1,
    };
    full.map(|p, v| {
        let loses = competing.contains(&p[1]) && v != strongest(&full, p, competing.clone());
        if loses { 0.0 } else { v }
    })
}

fn naive_cross(target: &Grid, refined: &Grid, fraction: f64) -> f64 {
    let [n, c, h, w] = refined.dims;
    let count = ((c * h * w) as f64 * fraction) as usize;
    let mut sum = 0.0;
    for image in 0..n {
        let places = refined.places().into_iter().filter(|p| p[0] == image);
        let mut all: Vec<f64> = places.map(|p| (target.at(p) - refined.at(p)).abs()).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        sum += all[..count].iter().sum::<f64>();
    }
    sum / (count * n) as f64
}

fn naive_min_pool(refined: &Grid, labels: &ImageLabels, divisor: usize) -> f64 {
    let [n, _, h, w] = refined.dims;
    let count = h * w / divisor;
    let mut sum = 0.0;
    for image in 0..n {
        let strongest = |(y, x): (usize, usize)| {
            let masked = |c: usize| if has(labels, image, c) { refined.at([image, c, y, x]) } else { 0.0 };
            (0..FOREGROUND).map(masked).fold(f64::MIN, f64::max)
        };
        let mut all: Vec<f64> = refined.pixels().into_iter().map(strongest).collect();
        all.sort_by(f64::total_cmp);
        sum += all[..count].iter().map(|v| v.max(0.0)).sum::<f64>();
    }
    sum / (count * n) as f64
}

fn naive_classification(logits: &Tensor, labels: &ImageLabels) -> f64 {
    let rows = logits.to_vec2::<f64>().unwrap();
    let term = |n: usize, c: usize, s: f64| {
        let sign = if has(labels, n, c) { 1.0 } else { -1.0 };
        (1.0 + (-sign * s).exp()).ln()
    };
    let sum: f64 =
        rows.iter().enumerate().flat_map(|(n, row)| row.iter().enumerate().map(move |(c, s)| term(n, c, *s))).sum();
    sum / (rows.len() * FOREGROUND) as f64
}

#[test]
fn plain_loops() {
    for seed in 0..6 {
        let maps = random_maps(100 * seed);
        let labels = label_list(&[&[0, 2], if seed % 2 == 0 { &[1] } else { &[0, 1, 2] }]);
        let channels = if seed % 3 == 0 { OneHotChannels::SkipFirst } else { OneHotChannels::Foreground };
        let config = SeamLossConfig {
            one_hot_channels: channels,
            ecr_fraction: 0.3,
            min_pool_divisor: 3,
            ..SeamLossConfig::default()
        };
        let objective = loss::objective(&maps, &labels, &config).unwrap();

        let cam = maps.as_ref().map(|v| naive_align(&v.cam, [3, 4], &labels));
        let refined = maps.as_ref().map(|v| naive_align(&v.refined, [3, 4], &labels));
        let foreground: Vec<_> = cam.source.places().into_iter().filter(|p| p[1] < FOREGROUND).collect();
        let er = foreground.iter().map(|p| (cam.source.at(*p) - cam.target.at(*p)).abs()).sum::<f64>();
        let targets = cam.as_ref().map(|map| naive_target(map, channels));
        let ecr =
            naive_cross(&targets.target, &refined.source, 0.3) + naive_cross(&targets.source, &refined.target, 0.3);
        let mean = |pair: Pair<f64>| (pair.source + pair.target) / 2.0;
        let want = [
            ("cls", mean(maps.as_ref().map(|v| naive_classification(&v.logits, &labels)))),
            ("min_pool", mean(maps.as_ref().map(|v| naive_min_pool(&Grid::of(&v.refined), &labels, 3)))),
            ("er", er / foreground.len() as f64),
            ("ecr", ecr),
        ];
        for (name, want) in want {
            let got = scalar(&objective.terms.get(name).unwrap().value);
            assert!((got - want).abs() < 1e-12, "seed {seed}, {name}: {got} against {want}");
        }
    }
}

#[test]
fn normalised_seeds_in_plain_loops() {
    let cam = randn(5, &[2, FOREGROUND + 1, 3, 4]).unwrap();
    let grid = Grid::of(&cam);
    let scaled = grid.map(|[n, c, y, x], _| {
        let peak = grid.pixels().iter().map(|(y, x)| grid.at([n, c, *y, *x])).fold(0.0, f64::max);
        (grid.at([n, c, y, x]).max(0.0) - EPSILON).max(0.0) / (peak + EPSILON)
    });
    let want = naive_target(&scaled, OneHotChannels::Foreground).tensor();
    let got = pcm::normalized_seeds(&cam, layout(), EPSILON).unwrap();
    assert_close("seeds", &got, &want, 1e-14).unwrap();
}

#[test]
fn pixel_correlation_in_plain_loops() {
    let (dim, height, width) = (5, 3, 4);
    let cam = randn(1, &[2, FOREGROUND + 1, 2, 3]).unwrap();
    let features = randn(2, &[2, dim, height, width]).unwrap();
    let (spread, f) = (Grid::of(&cam).resized(height, width), Grid::of(&features));
    let dot = |n: usize, i: (usize, usize), j: (usize, usize)| {
        (0..dim).map(|d| f.at([n, d, i.0, i.1]) * f.at([n, d, j.0, j.1])).sum::<f64>()
    };
    let norm = |n: usize, i: (usize, usize)| dot(n, i, i).sqrt() + EPSILON;
    let want = spread.map(|[n, c, y, x], _| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for i in spread.pixels() {
            let weight = (dot(n, i, (y, x)) / norm(n, i) / norm(n, (y, x))).max(0.0);
            sum += weight * spread.at([n, c, i.0, i.1]);
            weights += weight;
        }
        sum / (weights + EPSILON)
    });
    let got = pcm::refine(&cam, &features, EPSILON).unwrap();
    assert_close("refined", &got, &want.tensor(), 1e-13).unwrap();
}

#[test]
fn gradients() {
    let maps = random_maps(7);
    let labels = label_list(&[&[0, 2], &[1]]);
    let config = SeamLossConfig::default();
    let check = |what: &str, inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> candle_wsss::Result<Tensor>| {
        let error = gradient_error(inputs, 80, f).unwrap();
        assert!(error < 1e-6, "{what}: {error}");
    };
    let cams = [maps.source.cam.clone(), maps.target.cam.clone()];
    let refined = [maps.source.refined.clone(), maps.target.refined.clone()];
    let replaced = |cam: Pair<&Tensor>, refined: Pair<&Tensor>| {
        Pair::new(view(cam.source.clone(), refined.source.clone()), view(cam.target.clone(), refined.target.clone()))
    };
    let term = |maps: Pair<ViewMaps>, name: &str| {
        Ok(loss::objective(&maps, &labels, &config)?.terms.get(name).unwrap().value.clone())
    };
    for name in ["cls", "er"] {
        check(name, &cams, &|x| term(replaced(Pair::new(&x[0], &x[1]), Pair::new(&refined[0], &refined[1])), name));
    }
    for name in ["min_pool", "ecr"] {
        check(name, &refined, &|x| term(replaced(Pair::new(&cams[0], &cams[1]), Pair::new(&x[0], &x[1])), name));
    }
    let cotangent = randn(9, &[2, FOREGROUND + 1, 5, 7]).unwrap();
    check("max_norm", &cams[..1], &|x| Ok((seed::max_norm(&x[0])? * &cotangent)?.sum_all()?));
    let features = randn(10, &[2, 4, 5, 7]).unwrap();
    check("refine", &[cams[1].clone(), features], &|x| {
        Ok((pcm::refine(&x[0], &x[1], EPSILON)? * &cotangent)?.sum_all()?)
    });
}

#[test]
fn targets_and_seeds_have_no_gradient() {
    let cam = candle_core::Var::from_tensor(&randn(0, &[1, FOREGROUND + 1, 2, 2]).unwrap()).unwrap();
    let target = loss::one_hot_target(&cam, layout(), OneHotChannels::Foreground).unwrap();
    let seeds = pcm::normalized_seeds(&cam, layout(), EPSILON).unwrap();
    for constant in [target, seeds] {
        assert!(constant.sum_all().unwrap().backward().unwrap().get(&cam).is_none());
    }
}

#[test]
fn closed_forms() {
    // A ramp 0..=5 has minimum 0 and maximum 5.
    let ramp = Tensor::new(&[[[[0f64, 1., 2.], [3., 4., 5.]]]], &Device::Cpu).unwrap();
    let want = ((&ramp - EPSILON).unwrap().relu().unwrap() / (5.0 + EPSILON)).unwrap();
    assert_close("ramp", &seed::max_norm(&ramp).unwrap(), &want, 1e-15).unwrap();

    let classes = FOREGROUND + 1;
    let ones = Tensor::ones((1, classes, 4, 4), DType::F64, &Device::Cpu).unwrap();
    let zeros = ones.zeros_like().unwrap();
    assert_eq!(scalar(&loss::equivariance(&Pair::new(ones.clone(), ones.clone()), layout()).unwrap()), 0.0);
    assert_eq!(scalar(&loss::equivariance(&Pair::new(ones.clone(), zeros.clone()), layout()).unwrap()), 1.0);
    let cross = |a: &Tensor, b: &Tensor| scalar(&loss::cross_equivariance(a, b, 0.2).unwrap().unwrap());
    assert_eq!(cross(&ones, &ones), 0.0);
    assert_eq!(cross(&zeros, &ones), 1.0);

    // Where every pixel has the value 3 the lowest quarter has it too; below zero nothing is left.
    let labels = label_list(&[&[0, 1, 2]]);
    let pooled = |level: f64| scalar(&loss::min_pool(&(&ones * level).unwrap(), &labels, 4).unwrap().unwrap());
    assert_eq!(pooled(3.0), 3.0);
    assert_eq!(pooled(-3.0), 0.0);

    // Logits of zero leave everything open.
    let maps = Pair::new(view(zeros.clone(), zeros.clone()), view(zeros.clone(), zeros));
    let objective = loss::objective(&maps, &labels, &SeamLossConfig::default()).unwrap();
    assert!((scalar(&objective.terms.get("cls").unwrap().value) - 2f64.ln()).abs() < 1e-15);
}

#[test]
fn one_hot_channels_differ_where_the_background_is() {
    let cam = Tensor::new(&[[[[0.6f64]], [[0.7]], [[0.2]], [[0.0]]]], &Device::Cpu).unwrap();
    let target = |channels| {
        loss::one_hot_target(&cam, layout(), channels).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let background = 1.0 - 0.7;
    assert_eq!(target(OneHotChannels::Foreground), [0.0, 0.7, 0.0, background]);
    assert_eq!(target(OneHotChannels::SkipFirst), [0.6, 0.7, 0.0, 0.0]);
}

#[test]
fn like_pixels_share_and_unlike_pixels_do_not() {
    let cam = randn(3, &[1, 2, 2, 2]).unwrap();
    // Four equal features: every pixel gets the mean. The norm of a feature of ones over 4 channels is 2.
    let equal = Tensor::ones((1, 4, 2, 2), DType::F64, &Device::Cpu).unwrap();
    let got = pcm::refine(&cam, &equal, EPSILON).unwrap();
    let weight = (2.0 / (2.0 + EPSILON)).powi(2);
    let sums = (cam.flatten(2, 3).unwrap().sum_keepdim(2).unwrap() * (weight / (4.0 * weight + EPSILON))).unwrap();
    let want = sums.unsqueeze(3).unwrap().broadcast_as((1, 2, 2, 2)).unwrap();
    assert_close("equal features", &got, &want, 1e-14).unwrap();
    // Four orthogonal features: every pixel keeps its own.
    let orthogonal = Tensor::eye(4, DType::F64, &Device::Cpu).unwrap().reshape((1, 4, 2, 2)).unwrap();
    let got = pcm::refine(&cam, &orthogonal, EPSILON).unwrap();
    assert_close("orthogonal features", &got, &cam, 1e-4).unwrap();
}

#[test]
fn degenerate_maps_stay_finite() {
    let full = |level: f64, side: usize| Tensor::full(level, (2, FOREGROUND + 1, side, side), &Device::Cpu).unwrap();
    let no_label = label_list(&[&[], &[0]]);
    for level in [0.0, -1.0, 2.5] {
        let maps = Pair::new(view(full(level, 5), full(level, 5)), view(full(level, 3), full(level, 3)));
        let objective = loss::objective(&maps, &no_label, &SeamLossConfig::default()).unwrap();
        assert!(objective.terms.omitted().is_empty());
        assert!(scalar(&objective.terms.total().unwrap().unwrap()).is_finite());
    }
    let zero = Tensor::zeros((1, 3, 2, 2), DType::F64, &Device::Cpu).unwrap();
    let var = candle_core::Var::from_tensor(&zero).unwrap();
    let cam = Tensor::ones((1, 2, 2, 2), DType::F64, &Device::Cpu).unwrap();
    let refined = pcm::refine(&cam, &var, EPSILON).unwrap();
    assert_close("featureless", &refined, &cam.zeros_like().unwrap(), 0.0).unwrap();
    let grad = refined.sum_all().unwrap().backward().unwrap().get(&var).unwrap().clone();
    assert_close("featureless", &grad, &zero, 0.0).unwrap();
}

#[test]
fn terms_without_a_meaning_are_left_out() {
    let tiny = |seed| view(randn(seed, &[1, 4, 1, 1]).unwrap(), randn(seed + 1, &[1, 4, 1, 1]).unwrap());
    let maps = Pair::new(tiny(0), tiny(2));
    let objective = loss::objective(&maps, &label_list(&[&[1]]), &SeamLossConfig::default()).unwrap();
    let omitted: Vec<&str> = objective.terms.omitted().iter().map(|term| term.name.as_str()).collect();
    assert_eq!(omitted, ["min_pool", "ecr"]);
    assert!(scalar(&objective.terms.total().unwrap().unwrap()).is_finite());
}

#[test]
fn alignment_normalises_before_it_resizes() {
    let maps = random_maps(20);
    let labels = label_list(&[&[0], &[1, 2]]);
    let aligned = Aligned::new(&maps, &labels).unwrap();
    assert_eq!(aligned.cam.source.dims(), maps.target.cam.dims());
    let want = naive_align(&maps.source.refined, [3, 4], &labels).tensor();
    assert_close("p", &aligned.refined.source, &want, 1e-14).unwrap();
}

#[test]
fn wrong_input_is_named() {
    let maps = random_maps(30);
    let config = SeamLossConfig::default();
    let message = |labels: &ImageLabels| loss::objective(&maps, labels, &config).unwrap_err().to_string();
    assert_eq!(message(&label_list(&[&[0]])), "logits: expected shape (1, 3), got [2, 3]");
    let mut odd = maps.clone();
    odd.target.refined = odd.source.refined.clone();
    let err = loss::objective(&odd, &label_list(&[&[0], &[1]]), &config).unwrap_err().to_string();
    assert_eq!(err, "refined cam: expected shape (2, 4, 3, 4), got [2, 4, 5, 7]");
}

#[test]
fn configuration_is_strict() {
    let parse = |text: &str| toml::from_str::<SeamConfig>(text).map_err(|err| err.to_string());
    assert_eq!(parse("").unwrap(), SeamConfig::default());
    let small =
        parse("[backbone]\nwidth_divisor = 8\nbatch_norm = \"train\"\n[loss]\none_hot_channels = \"skip_first\"")
            .unwrap();
    assert_eq!(small.backbone.scaled(16), 2);
    assert_eq!(small.loss.one_hot_channels, OneHotChannels::SkipFirst);
    assert!(parse("drop_out = 0.5").unwrap_err().contains("unknown field"));
    let refused = |text: &str| parse(text).unwrap().validate().unwrap_err().to_string();
    assert_eq!(refused("dropout = 1.0"), "config field `dropout`: must be at least 0 and below 1, is 1");
    assert!(refused("[backbone]\nwidth_divisor = 65").contains("backbone.width_divisor"));
    assert!(refused("[loss]\necr_fraction = 0.0").contains("loss.ecr_fraction"));
    assert!(refused("[loss.weights]\ner = -1.0").contains("loss.weights.er"));
    assert!(refused("[pcm]\nepsilon = nan").contains("pcm.epsilon"));
}

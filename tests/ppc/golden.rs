//! Golden vectors in the order of classes used here: background last.

use candle_core::{DType, Tensor};
use candle_wsss::regularizer::ppc::{PixelSampling, PpcConfig, PrototypeMining, SemiHardRanks};
use candle_wsss::{ClassLayout, ImageLabels, Pair, ReplaySampler};

use super::inputs::numbers;
use crate::common::fixture::Fixture;

pub(crate) const SCALAR: f64 = 1e-9;
pub(crate) const TENSOR: f64 = 2e-7;

pub(crate) const VIEWS: Pair<usize> = Pair { source: 1, target: 2 };

/// A case, its classes renamed.
pub(crate) struct Golden {
    pub(crate) case: Fixture,
    pub(crate) labels: ImageLabels,
    // Where the file has the background.
    background: usize,
}

impl Golden {
    pub(crate) fn all() -> Vec<Self> {
        Fixture::with_prefix("ppc_").into_iter().map(Self::new).collect()
    }

    fn new(case: Fixture) -> Self {
        let multi_hot = case.tensor("label");
        let layout = ClassLayout::new(multi_hot.dim(1).unwrap()).unwrap();
        let labels = ImageLabels::from_multi_hot(&multi_hot, layout).unwrap();
        // SEAM's order where the file does not say.
        let background = if is_constant(&case, "background_channel") { case.count("background_channel") } else { 0 };
        Self { case, labels, background }
    }

    /// The configuration of the case: what the file does not say is the preset's.
    pub(crate) fn config(&self) -> PpcConfig {
        let constant = |names: &[&str], preset: f64| {
            let name = names.iter().find(|name| is_constant(&self.case, name));
            name.map_or(preset, |name| self.case.constant(name))
        };
        let preset = if self.case.name.starts_with("ppc_eps") { PpcConfig::eps() } else { PpcConfig::seam() };
        let (_, h, w) = self.case.raw("pseudo_label2").dims3().unwrap();
        let best = self.case.raw("top_indices1").dim(1).unwrap();
        let config = PpcConfig {
            background_score: constant(&["bg_threshold", "bg_thres"], preset.background_score),
            grid: (h, w),
            pixels_per_prototype_divisor: h * w / best,
            temperature: constant(&["temperature"], preset.temperature),
            weight: constant(&["gamma"], preset.weight),
            mining: PrototypeMining::SemiHard(SemiHardRanks {
                dropped: constant(&["proto_rank_drop"], 3.0) as usize,
                last_rank: constant(&["proto_rank_k"], 13.0) as usize,
            }),
            sampling: PixelSampling::HardHalf { hard_fraction: constant(&["low_fraction"], 0.6) },
            ..preset
        };
        assert_eq!(h * w / config.pixels_per_prototype_divisor, best, "{}", self.case.name);
        config
    }

    /// Our number of a class of the file.
    pub(crate) fn class(&self, class: usize) -> usize {
        match class {
            class if class == self.background => self.labels.layout().background(),
            class if class < self.background => class,
            class => class - 1,
        }
    }

    /// A stored tensor of class numbers, in ours.
    pub(crate) fn classes(&self, name: &str) -> Vec<usize> {
        numbers(&self.case.tensor(name)).into_iter().map(|class| self.class(class as usize)).collect()
    }

    /// Moves the background of `tensor` along `axis` to where ours is.
    pub(crate) fn ours(&self, tensor: &Tensor, axis: usize) -> Tensor {
        let classes = tensor.dim(axis).unwrap();
        let above = tensor.narrow(axis, 0, self.background).unwrap();
        let below = tensor.narrow(axis, self.background + 1, classes - self.background - 1).unwrap();
        Tensor::cat(&[above, below, tensor.narrow(axis, self.background, 1).unwrap()], axis).unwrap()
    }

    /// The maps seeds are made of.
    pub(crate) fn cams(&self) -> Pair<Tensor> {
        VIEWS.map(|view| {
            let down = format!("cam_rv{view}_down");
            let name = if self.case.has(&down) { down } else { format!("cam{view}") };
            self.ours(&self.case.tensor(&name), 1)
        })
    }

    pub(crate) fn features(&self) -> Pair<Tensor> {
        VIEWS.map(|view| self.case.tensor(&format!("f_proj{view}")))
    }

    /// Plays the stored draws, class by class.
    pub(crate) fn sampler(&self) -> ReplaySampler {
        let mut sampler = ReplaySampler::new();
        for (view, scope) in [(1, "source"), (2, "target")] {
            let drawn = split(
                numbers(&self.case.tensor(&format!("hard_random_idx{view}"))),
                &numbers(&self.case.tensor(&format!("class_len{view}"))),
            );
            for (class, drawn) in self.classes(&format!("class_ids{view}")).into_iter().zip(drawn) {
                if !drawn.is_empty() {
                    sampler = sampler.record_distinct(&format!("intra/{scope}/{class}"), drawn);
                }
            }
        }
        sampler
    }

    /// Positions of the hard half, per class in the file's order.
    pub(crate) fn hard_halves(&self, view: usize) -> Vec<Vec<usize>> {
        let lengths = numbers(&self.case.tensor(&format!("class_len{view}")));
        split(numbers(&self.case.tensor(&format!("hard_low_idx{view}"))), &lengths)
    }

    /// Fails unless `got` is the stored tensor, given in our order of classes along `axis`.
    pub(crate) fn check(&self, name: &str, got: &Tensor, axis: usize, tolerance: f64) {
        let want = self.ours(&self.case.tensor(name), axis);
        let what = format!("{}: {name}", self.case.name);
        candle_wsss::testing::assert_close(&what, got, &want, tolerance).unwrap();
    }

    /// Compares a gradient with everything stored of it, whole or in part. Whether anything is.
    pub(crate) fn check_gradient(&self, name: &str, got: &Tensor) -> bool {
        let keys = self.case.json["tensors"].as_object().unwrap().keys();
        let parts = keys.filter_map(|key| Some((key, key.strip_prefix(name)?)));
        let mut is_stored = false;
        for (key, part) in parts {
            let Some(part) = (if part.is_empty() { Some(part) } else { part.strip_prefix("__") }) else { continue };
            let got = part_of(got, part);
            if numbers(&self.case.tensor(key)).iter().all(|x| *x == 0.0) {
                // Equal prototypes, whose differences are rounding errors of a float64.
                assert!(numbers(&got).iter().all(|x| x.abs() < 1e-15), "{}: {key}", self.case.name);
            } else {
                self.case.check(key, &got, TENSOR);
            }
            is_stored = true;
        }
        is_stored
    }
}

fn is_constant(case: &Fixture, name: &str) -> bool {
    !case.json["constants"][name].is_null()
}

// Half of each class's pixels, one list per class.
fn split(all: Vec<f64>, lengths: &[f64]) -> Vec<Vec<usize>> {
    let mut all = all.into_iter().map(|position| position as usize);
    let parts: Vec<Vec<usize>> = lengths.iter().map(|len| all.by_ref().take(*len as usize / 2).collect()).collect();
    assert_eq!(all.next(), None, "draws of no class");
    parts
}

fn part_of(gradient: &Tensor, part: &str) -> Tensor {
    let gradient = gradient.to_dtype(DType::F64).unwrap();
    let norm = |over: &[usize]| gradient.sqr().unwrap().sum(over.to_vec()).unwrap().sqrt().unwrap();
    match part {
        "" => gradient,
        "channel_l2" => norm(&[2, 3]),
        "pixel_l2" => norm(&[1]),
        range => {
            let (first, end) = range.strip_prefix("ch").and_then(|range| range.split_once('_')).unwrap();
            let (first, end): (usize, usize) = (first.parse().unwrap(), end.parse().unwrap());
            gradient.narrow(1, first, end - first).unwrap()
        }
    }
}

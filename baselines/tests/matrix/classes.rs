//! Class counts and batch sizes: nothing is built for the twenty of PASCAL VOC.

use candle_core::{DType, Device};
use candle_wsss::testing::randn;
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, MemoryState, Mode, Pair, Progress, Sampler, SeededSampler, Step, View,
};
use candle_wsss_baselines::run::build;

use super::cell::config;

const STACK: &str = "hsc+ppc+rca+pss";

// Labels of a batch, by image; `foreground` classes. The last image of a larger batch has none.
fn labels(images: usize, foreground: usize) -> Vec<Vec<usize>> {
    let of = |image: usize| match image {
        3 => Vec::new(),
        _ => vec![image % foreground, (image * 7 + 3) % foreground],
    };
    (0..images).map(of).collect()
}

fn views(images: usize) -> Pair<View> {
    let view = |seed: u64, side: usize| {
        let image = randn(seed, &[images, 3, side, side]).unwrap().to_dtype(DType::F32).unwrap();
        let saliency = randn(seed + 9, &[images, 1, side, side]).unwrap().to_dtype(DType::F32).unwrap();
        let saliency = candle_wsss::ops::clamp(&saliency, 0.0, 1.0).unwrap();
        View::new(image).unwrap().with_saliency(saliency).unwrap()
    };
    Pair::new(view(1, 32), view(2, 24))
}

/// What a step left.
struct Taken {
    memory: MemoryState,
    /// Trained parameters whose gradient is there, and zero throughout.
    idle: Vec<String>,
}

// One step: every term that is there is finite, and so is every gradient.
fn step(baseline: &str, foreground: usize, images: usize) -> Taken {
    let what = format!("{baseline}, {foreground} classes, {images} images");
    let config = config(baseline);
    let layout = ClassLayout::new(foreground).unwrap();
    let stack = config.method(STACK).unwrap();
    let mut model = build(&config, &stack, layout, 1, &Device::Cpu).unwrap_or_else(|err| panic!("{what}: {err}"));
    let (views, draws) = (views(images), SeededSampler::new(3));
    let outputs = Pair::new("source", "target")
        .zip(views.as_ref())
        .try_map(|(name, view)| model.baseline.forward(view, Mode::Train(draws.fork(name).as_mut())));
    let outputs = outputs.unwrap_or_else(|err| panic!("{what}: {err}"));
    let labels = ImageLabels::new(labels(images, foreground), layout, DType::F32, &Device::Cpu).unwrap();
    let progress = Progress::default();
    let seen = Step { model: &model.baseline, views: &views, outputs: &outputs, labels: &labels, progress };
    let objective = model.baseline.objective(&seen, &draws).unwrap_or_else(|err| panic!("{what}: {err}"));
    for term in objective.terms.scalars().unwrap() {
        assert!(term.value.is_finite(), "{what}: {} is {}", term.name, term.value);
    }
    let grads = objective.terms.total().unwrap().unwrap().backward().unwrap();
    let mut idle = Vec::new();
    for (name, var) in model.store.named_vars() {
        if let Some(grad) = grads.get(&var) {
            let sum = grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(sum.is_finite(), "{what}: gradient of {name}");
            if sum == 0.0 {
                idle.push(name);
            }
        }
    }
    model.baseline.commit(objective.memory).unwrap_or_else(|err| panic!("{what}: {err}"));
    Taken { memory: model.baseline.memory().unwrap(), idle }
}

#[test]
fn any_number_of_classes_and_images() {
    for (foreground, images) in [(1, 1), (6, 2), (20, 3), (80, 4)] {
        for baseline in ["seam", "eps", "eps-pcm", "vgg16-oaa"] {
            let Taken { memory, .. } = step(baseline, foreground, images);
            let bytes = memory.to_safetensors(None).unwrap();
            let back = MemoryState::from_safetensors(&bytes, &Device::Cpu).unwrap();
            assert_eq!(back.iter().count(), memory.iter().count());
        }
    }
}

// That a gradient is there says little: it may be zero.
#[test]
fn gradients_are_not_zero() {
    for baseline in ["seam", "eps", "eps-pcm", "vgg16-oaa"] {
        assert_eq!(step(baseline, 6, 3).idle, Vec::<String>::new(), "{baseline}");
    }
}

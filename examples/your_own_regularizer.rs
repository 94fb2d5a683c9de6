//! A regularizer of your own, and the checks that it keeps its promises: `cargo run --example your_own_regularizer`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer, SGD};
use candle_wsss::ops::{max_keepdim, relu, unit};
use candle_wsss::seed::max_norm;
use candle_wsss::testing::{ToyBaseline, gradient_error, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, MemoryState, Mode, Objective, Pair, ParameterStore, Progress, Regularized,
    Regularizer, Result, Sampler, SeededSampler, Step, View,
};

/// Objects should not look like background: each image's mean object feature against a remembered background.
struct Separation {
    weight: f64,
    momentum: f64,
    feature_dim: usize,
    background: Option<Tensor>, // (1, feature_dim); none before the first step
}

/// The unit mean of `features (N, D, h, w)` under `weights (N, 1, h, w)`, per image: `(N, D)`.
fn direction(features: &Tensor, weights: &Tensor) -> Result<Tensor> {
    unit(&features.broadcast_mul(weights)?.mean((2, 3))?, 1, 1e-12)
}

impl Regularizer for Separation {
    fn name(&self) -> &str {
        "separation"
    }

    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        let (output, labels) = (&step.outputs.source, step.labels);
        let present = labels.multi_hot().unsqueeze(2)?.unsqueeze(3)?;
        let cam = output.seed_cam().detach().narrow(1, 0, labels.layout().num_foreground())?;
        let object = max_keepdim(&max_norm(&cam.broadcast_mul(&present)?)?, 1)?; // (N, 1, h, w) in [0, 1)
        let labelled = (0..labels.len()).filter(|image| !labels.of_image(*image).is_empty()).count();
        let mut objective = Objective::default();
        match &self.background {
            None => objective.terms.omit("cosine", "no background remembered yet"),
            Some(_) if labelled == 0 => objective.terms.omit("cosine", "no foreground label in the batch"),
            Some(background) => {
                let cosine = direction(&output.features, &object)?.matmul(&background.t()?)?; // (N, 1)
                objective.terms.push("cosine", self.weight, (relu(&cosine)?.sum_all()? / labelled as f64)?)?;
            }
        }
        let fresh = direction(&output.features.detach(), &(1.0 - &object)?)?.mean_keepdim(0)?;
        let old = self.background.as_ref().unwrap_or(&fresh);
        let next = ((old * self.momentum)? + (&fresh * (1.0 - self.momentum))?)?;
        objective.memory.insert("background", &unit(&next, 1, 1e-12)?)?;
        Ok(objective)
    }

    fn commit(&mut self, mut next: MemoryState) -> Result<()> {
        let background = next.take("background", &[1, self.feature_dim])?;
        next.expect_empty()?;
        self.background = Some(background);
        Ok(())
    }

    fn memory(&self) -> Result<MemoryState> {
        let mut memory = MemoryState::default();
        self.background.iter().try_for_each(|background| memory.insert("background", background)).map(|()| memory)
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        if !saved.is_empty() {
            return self.commit(saved);
        }
        self.background = None; // it was saved before the first step
        Ok(())
    }
}

const NUM_FOREGROUND: usize = 3;
const FEATURE_DIM: usize = 8;

/// A toy network with the regularizer on it, and the parameters of both.
fn build() -> Result<(Regularized<ToyBaseline>, ParameterStore)> {
    let store = ParameterStore::new();
    let toy = ToyBaseline::new(NUM_FOREGROUND, FEATURE_DIM, &store, 1, DType::F64)?;
    let separation = Separation { weight: 0.5, momentum: 0.9, feature_dim: FEATURE_DIM, background: None };
    Ok((separation.wrap(toy), store))
}

fn main() -> Result<()> {
    let (mut model, store) = build()?;
    let batch = Batch::new(vec![vec![0], vec![1], vec![2, 0], vec![]])?;

    // An undefined term is left out and named; it is never 0 or NaN.
    let first = batch.objective(&model)?;
    assert!(first.terms.get("separation/cosine").is_none());
    assert_eq!(first.terms.omitted()[0].reason, "no background remembered yet");

    // Reading twice gives the same and changes nothing; `commit` does.
    assert!(model.memory()?.is_empty());
    model.commit(first.memory)?;
    assert_eq!(batch.objective(&model)?.terms.scalars()?, batch.objective(&model)?.terms.scalars()?);

    // It does what it is for: objects move away from the background.
    let before = batch.cosine(&model)?;
    for _ in 0..40 {
        batch.train(&mut model, &store)?;
    }
    let after = batch.cosine(&model)?;
    println!("cosine of objects with the background: {before:.3}, after training {after:.3}");
    assert!(after < before - 0.1);

    // A resumed run goes on where the saved one stopped.
    let saved = model.memory()?.to_safetensors(None)?;
    let (mut resumed, parameters) = build()?;
    parameters.load_exact(&store.snapshot()?)?;
    resumed.restore(MemoryState::from_safetensors(&saved, &Device::Cpu)?)?;
    assert_eq!(batch.objective(&resumed)?.terms.scalars()?, batch.objective(&model)?.terms.scalars()?);

    // Memory that does not fit is refused by name, and nothing is changed.
    let mut misshapen = MemoryState::default();
    misshapen.insert("separation.background", &Tensor::zeros((1, 2), DType::F64, &Device::Cpu)?)?;
    let refusal = resumed.restore(misshapen).expect_err("the shape is another").to_string();
    println!("refused: {refusal}");
    assert!(refusal.contains("`separation.background`"));
    assert_eq!(batch.cosine(&resumed)?, after);

    // A batch without labels has no object.
    let unlabelled = Batch::new(vec![vec![], vec![]])?.objective(&model)?;
    assert_eq!(unlabelled.terms.omitted()[0].reason, "no foreground label in the batch");

    // The gradient is that of the differences.
    let weights = randn(1, &[2, 1, 4, 4])?.abs()?;
    let towards = randn(2, &[FEATURE_DIM, 1])?;
    let error = gradient_error(&[randn(3, &[2, FEATURE_DIM, 4, 4])?], 40, |inputs| {
        Ok(direction(&inputs[0], &weights)?.matmul(&towards)?.sum_all()?)
    })?;
    println!("error of the gradient: {error:.1e}");
    assert!(error < 1e-6);
    Ok(())
}

/// Noisy images, each with a square of the colours of its classes, in two sizes.
struct Batch {
    views: Pair<View>,
    labels: ImageLabels,
}

impl Batch {
    fn new(present: Vec<Vec<usize>>) -> Result<Self> {
        const SIDE: usize = 16;
        let mut pixels = SeededSampler::new(7).normal(present.len() * 3 * SIDE * SIDE)?;
        for (image, class) in present.iter().enumerate().flat_map(|(image, all)| all.iter().map(move |c| (image, c))) {
            for (y, x) in (4..11).flat_map(|y| (3..10).map(move |x| (y, x))) {
                pixels[((image * 3 + class) * SIDE + y) * SIDE + x] += 3.0;
            }
        }
        let images = Tensor::from_vec(pixels, (present.len(), 3, SIDE, SIDE), &Device::Cpu)?;
        let smaller = images.avg_pool2d(2)?;
        let labels = ImageLabels::new(present, ClassLayout::new(NUM_FOREGROUND)?, DType::F64, &Device::Cpu)?;
        Ok(Self { views: Pair::new(View::new(images)?, View::new(smaller)?), labels })
    }

    fn objective(&self, model: &dyn Baseline) -> Result<Objective> {
        let Self { views, labels } = self;
        let draws = SeededSampler::new(1);
        let outputs = views.as_ref().try_map(|view| model.forward(view, Mode::Train(&mut *draws.fork("forward"))))?;
        model.objective(&Step { model, views, outputs: &outputs, labels, progress: Progress::default() }, &draws)
    }

    fn cosine(&self, model: &dyn Baseline) -> Result<f64> {
        let terms = self.objective(model)?.terms.scalars()?;
        Ok(terms.iter().find(|term| term.name == "separation/cosine").map_or(f64::NAN, |term| term.value))
    }

    fn train(&self, model: &mut impl Baseline, store: &ParameterStore) -> Result<()> {
        let objective = self.objective(model)?;
        let variables = store.named_vars().into_iter().map(|(_, variable)| variable).collect();
        if let Some(loss) = objective.terms.total()? {
            SGD::new(variables, 0.1)?.backward_step(&loss)?;
        }
        model.commit(objective.memory)
    }
}

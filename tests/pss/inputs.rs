use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::regularizer::pss::{PssConfig, PssRegularizer};
use candle_wsss::regularizer::{Site, Twin};
use candle_wsss::testing::{ToyBaseline, randn};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, ImageLabels, MemoryState, Mode, Objective, Pair, ParameterGroup,
    ParameterStore, Progress, Regularized, Regularizer, Result, Sampler, SeededSampler, Step, View, ViewOutput,
};

pub(super) const FEATURE_DIM: usize = 5;

pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(super) fn entries(state: &MemoryState) -> Vec<(String, Vec<f64>)> {
    state.iter().map(|(name, tensor)| (name.to_string(), numbers(tensor))).collect()
}

pub(super) fn labels(present: &[&[usize]], foreground: usize, dtype: DType) -> ImageLabels {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    ImageLabels::new(present, ClassLayout::new(foreground).unwrap(), dtype, &Device::Cpu).unwrap()
}

/// `seed::max_norm` of one map, by loops.
pub(super) fn max_norm(map: &[f64]) -> Vec<f64> {
    let rectified: Vec<f64> = map.iter().map(|v| v.max(0.0)).collect();
    let most = rectified.iter().copied().fold(f64::MIN, f64::max);
    let least = rectified.iter().copied().fold(f64::MAX, f64::min);
    rectified.iter().map(|r| (r - least - 1e-5).max(0.0) / (most - least + 1e-5)).collect()
}

/// One forward pass: whose, the image's size, whether it left a graph, and what was drawn if it trained.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pass {
    pub(super) by: &'static str,
    pub(super) size: (usize, usize),
    pub(super) has_graph: bool,
    pub(super) draw: Option<f64>,
}

pub(super) type Log = Arc<Mutex<Vec<Pass>>>;

/// A toy that writes down how it is run, and refines its maps to half their size.
pub(super) struct Probe {
    by: &'static str,
    toy: Box<dyn Baseline>,
    log: Log,
}

impl Baseline for Probe {
    fn spec(&self) -> &BaselineSpec {
        self.toy.spec()
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        let (_, _, height, width) = view.image().dims4()?;
        let draw = match mode {
            Mode::Eval => None,
            Mode::Train(sampler) => Some(sampler.uniform(1)?[0]),
        };
        let output = self.toy.forward(view, Mode::Eval)?;
        let has_graph = output.cam.track_op() || output.features.track_op();
        self.log.lock().unwrap().push(Pass { by: self.by, size: (height, width), has_graph, draw });
        let (_, _, h, w) = output.cam.dims4()?;
        let refined_cam = Some(resize_bilinear(&output.cam.sqr()?, (h.div_ceil(2), w.div_ceil(2)), Corners::Aligned)?);
        Ok(ViewOutput { refined_cam, ..output })
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        self.toy.objective(step, sampler)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.toy.parameter_group(name)
    }
}

/// A probe with regularizers on it, and a batch.
pub(super) struct Run {
    pub(super) store: ParameterStore,
    pub(super) model: Regularized<Probe>,
    pub(super) views: Pair<View>,
    pub(super) labels: ImageLabels,
    pub(super) progress: Progress,
    pub(super) log: Log,
}

impl Run {
    pub(super) fn new(config: PssConfig, present: &[&[usize]], foreground: usize) -> Self {
        Self::of(Some(config), present, foreground, DType::F64)
    }

    pub(super) fn of(config: Option<PssConfig>, present: &[&[usize]], foreground: usize, dtype: DType) -> Self {
        let (store, log) = (ParameterStore::new(), Log::default());
        let toy = Box::new(ToyBaseline::new(foreground, FEATURE_DIM, &store, 1, dtype).unwrap());
        let main = Probe { by: "main", toy, log: log.clone() };
        let spec = main.spec().clone();
        let plain = ToyBaseline::twin(foreground, FEATURE_DIM, &store);
        let (values, own) = (plain.clone(), log.clone());
        // The outer twin hands its parameters on to the toy's.
        let twin = Twin::new(store.clone(), "toy", move |vb| {
            let mut given = values.values()?;
            for (name, value) in &mut given {
                *value = vb.get(value.dims(), name)?;
            }
            Ok(Box::new(Probe { by: "support", toy: values.network(&given)?, log: own.clone() }))
        });
        let mut model = Regularized::new(main);
        if let Some(config) = config {
            model = model.with(PssRegularizer::new(config, &Site::new(&spec).with_twin(twin)).unwrap()).unwrap();
        }
        let n = present.len();
        let view = |side: usize| {
            let image = randn(3 + side as u64, &[n, 3, side, side + 2]).unwrap().to_dtype(dtype).unwrap();
            View::new(image).unwrap()
        };
        Self {
            store,
            model,
            views: Pair::new(view(8), view(4)),
            labels: labels(present, foreground, dtype),
            progress: Progress::default(),
            log,
        }
    }

    pub(super) fn with(mut self, regularizer: impl Regularizer + 'static) -> Self {
        self.model = self.model.with(regularizer).unwrap();
        self
    }

    pub(super) fn objective(&self) -> Objective {
        let outputs = self.views.as_ref().try_map(|view| self.model.forward(view, Mode::Eval)).unwrap();
        self.log.lock().unwrap().clear();
        let Self { model, views, labels, progress, .. } = self;
        let step = Step { model, views, outputs: &outputs, labels, progress: *progress };
        self.model.objective(&step, &SeededSampler::new(4)).unwrap()
    }

    pub(super) fn passes(&self) -> Vec<Pass> {
        self.log.lock().unwrap().clone()
    }

    /// One step of plain gradient descent.
    pub(super) fn train(&mut self) {
        let objective = self.objective();
        let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
        for (_, var) in self.store.named_vars() {
            if let Some(gradient) = gradients.get(&var) {
                var.set(&(var.as_tensor() - (gradient * 0.1).unwrap()).unwrap()).unwrap();
            }
        }
        self.model.commit(objective.memory).unwrap();
        self.progress.step += 1;
    }
}

pub(super) fn names(objective: &Objective) -> Vec<&str> {
    objective.terms.iter().map(|term| term.name.as_str()).collect()
}

pub(super) fn omitted(objective: &Objective) -> Vec<&str> {
    objective.terms.omitted().iter().map(|term| term.name.as_str()).collect()
}

pub(super) fn value(objective: &Objective, name: &str) -> f64 {
    objective.terms.scalars().unwrap().iter().find(|term| term.name == name).unwrap().value
}

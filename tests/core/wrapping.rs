//! Wrapping and stacking, with regularizers small enough to see through.

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::{ToyBaseline, assert_close, randn};
use candle_wsss::{
    Baseline, Error, ImageLabels, MemoryState, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress,
    Regularized, Regularizer, Result, Sampler, SeededSampler, Step, View, ViewOutput,
};

/// Pulls the mean feature towards a remembered one, with a draw thrown in.
struct MeanFeature {
    name: &'static str,
    remembered: Tensor,
    refuses: bool,
}

impl MeanFeature {
    fn new(name: &'static str, dim: usize) -> Result<Self> {
        Ok(Self { name, remembered: Tensor::zeros(dim, DType::F64, &Device::Cpu)?, refuses: false })
    }
}

impl Regularizer for MeanFeature {
    fn name(&self) -> &str {
        self.name
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        let mut objective = Objective::default();
        let mean = step.outputs.source.features.mean((0, 2, 3))?;
        let noise = sampler.fork("noise").normal(1)?[0];
        let distance = ((&mean - &self.remembered)?.sqr()?.mean_all()? + noise * noise)?;
        objective.terms.push("distance", 0.5, distance)?;
        objective.terms.omit("never", "for show");
        objective.memory.insert("mean", &mean)?;
        Ok(objective)
    }

    // Doubles the maps, then adds 1 for `a` and 2 for `b`: the order shows.
    fn infer(&self, _view: &View, output: ViewOutput) -> Result<ViewOutput> {
        let shift = if self.name == "a" { 1.0 } else { 2.0 };
        Ok(ViewOutput { cam: output.cam.affine(2.0, shift)?, ..output })
    }

    fn commit(&mut self, mut next: MemoryState) -> Result<()> {
        if self.refuses {
            return Err(Error::state("mean", "refused"));
        }
        let mean = next.take("mean", self.remembered.dims())?;
        next.expect_empty()?;
        self.remembered = mean;
        Ok(())
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        let refuses = std::mem::replace(&mut self.refuses, false);
        let outcome = self.commit(saved);
        self.refuses = refuses;
        outcome
    }

    fn memory(&self) -> Result<MemoryState> {
        let mut memory = MemoryState::default();
        memory.insert("mean", &self.remembered)?;
        Ok(memory)
    }
}

const DIM: usize = 4;

fn toy() -> Result<ToyBaseline> {
    ToyBaseline::new(3, DIM, &ParameterStore::new(), 1, DType::F64)
}

fn objective_of(model: &dyn Baseline) -> Result<Objective> {
    let views = Pair::new(View::new(randn(1, &[2, 3, 8, 8])?)?, View::new(randn(2, &[2, 3, 4, 4])?)?);
    let outputs = views.as_ref().try_map(|view| model.forward(view, Mode::Eval))?;
    let labels = ImageLabels::new(vec![vec![0], vec![2, 1]], model.spec().layout, DType::F64, &Device::Cpu)?;
    let step = Step { model, views: &views, outputs: &outputs, labels: &labels, progress: Progress::default() };
    model.objective(&step, &SeededSampler::new(4))
}

fn names(objective: &Objective) -> Vec<&str> {
    objective.terms.iter().map(|term| term.name.as_str()).collect()
}

#[test]
fn terms_and_memory_are_scoped_by_name() -> Result<()> {
    let model = MeanFeature::new("a", DIM)?.wrap(toy()?).with(MeanFeature::new("b", DIM)?)?;
    let objective = objective_of(&model)?;
    assert_eq!(names(&objective), ["cls", "a/distance", "b/distance"]);
    assert_eq!(objective.memory.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a.mean", "b.mean"]);
    let omitted: Vec<&str> = objective.terms.omitted().iter().map(|term| term.name.as_str()).collect();
    assert_eq!(omitted, ["a/never", "b/never"]);
    let values = objective.terms.scalars()?;
    let total = objective.terms.total()?.unwrap().to_scalar::<f64>()?;
    let sum: f64 = values.iter().map(|term| term.weight * term.value).sum();
    assert!((total - sum).abs() < 1e-12);
    Ok(())
}

#[test]
fn objective_is_pure_and_indifferent_to_neighbours() -> Result<()> {
    let alone = MeanFeature::new("a", DIM)?.wrap(toy()?);
    let stacked = MeanFeature::new("b", DIM)?.wrap(toy()?).with(MeanFeature::new("a", DIM)?)?;
    let (once, twice, with_neighbour) = (objective_of(&alone)?, objective_of(&alone)?, objective_of(&stacked)?);
    let value = |objective: &Objective| objective.terms.get("a/distance").unwrap().value.to_scalar::<f64>().unwrap();
    assert_eq!(value(&once).to_bits(), value(&twice).to_bits());
    assert_eq!(value(&once).to_bits(), value(&with_neighbour).to_bits());
    Ok(())
}

#[test]
fn commit_takes_over_and_memory_restores() -> Result<()> {
    let mut model = MeanFeature::new("a", DIM)?.wrap(toy()?);
    let before = model.memory()?;
    let first = objective_of(&model)?;
    model.commit(first.memory.clone())?;
    let second = objective_of(&model)?;
    let value = |objective: &Objective| objective.terms.get("a/distance").unwrap().value.to_scalar::<f64>().unwrap();
    assert!(value(&second) < value(&first), "the remembered mean moved to the features");
    model.restore(before)?;
    assert_eq!(value(&objective_of(&model)?).to_bits(), value(&first).to_bits());
    Ok(())
}

#[test]
fn a_refused_commit_changes_nobody() -> Result<()> {
    let refusing = MeanFeature { refuses: true, ..MeanFeature::new("b", DIM)? };
    let mut model = MeanFeature::new("a", DIM)?.wrap(toy()?).with(refusing)?;
    let next = objective_of(&model)?.memory;
    let error = model.commit(next).unwrap_err().to_string();
    assert_eq!(error, "tensor `b.mean`: refused");
    let mut memory = model.memory()?;
    let mean = memory.split_off("a").take("mean", &[DIM])?;
    assert_eq!(mean.to_vec1::<f64>()?, [0.0; DIM], "a went back");
    let surplus = {
        let mut state = model.memory()?;
        state.insert("stranger", &mean)?;
        state
    };
    assert_eq!(model.restore(surplus).unwrap_err().to_string(), "tensor `stranger`: unexpected");
    Ok(())
}

#[test]
fn wrappers_nest_and_names_are_unique() -> Result<()> {
    let inner = MeanFeature::new("a", DIM)?.wrap(toy()?);
    let boxed: Box<dyn Baseline> = Box::new(inner);
    let nested = MeanFeature::new("b", DIM)?.wrap(boxed);
    assert_eq!(names(&objective_of(&nested)?), ["cls", "a/distance", "b/distance"]);
    assert_eq!(nested.parameter_group("b.head.weight"), ParameterGroup::FromScratch);
    assert_eq!(nested.parameter_group("toy.fc.weight"), ParameterGroup::Pretrained);
    let twice = Regularized::new(toy()?).with(MeanFeature::new("a", DIM)?)?.with(MeanFeature::new("a", DIM)?);
    assert_eq!(twice.err().unwrap().to_string(), "the name `a` is used twice");
    Ok(())
}

#[test]
fn evaluation_alone_goes_through_the_hook_in_the_order_of_stacking() -> Result<()> {
    let view = View::new(randn(1, &[1, 3, 4, 4])?)?;
    let bare = toy()?.forward(&view, Mode::Eval)?.cam;
    let stacked = MeanFeature::new("a", DIM)?.wrap(toy()?).with(MeanFeature::new("b", DIM)?)?;
    let evaluated = stacked.forward(&view, Mode::Eval)?.cam;
    assert_close("a, then b", &evaluated, &bare.affine(4.0, 4.0)?, 1e-15)?;
    let trained = stacked.forward(&view, Mode::Train(&mut SeededSampler::new(0)))?.cam;
    assert_close("training sees the baseline", &trained, &bare, 0.0)
}

#[test]
fn a_twin_runs_on_copies_and_passes_no_gradient() -> Result<()> {
    let store = ParameterStore::new();
    let toy = ToyBaseline::new(3, DIM, &store, 1, DType::F64)?;
    let twin = ToyBaseline::twin(3, DIM, &store);
    let values = twin.values()?;
    assert_eq!(values.keys().collect::<Vec<_>>(), ["fc.weight", "trunk.weight"]);
    let view = View::new(randn(1, &[1, 3, 4, 4])?)?;
    let (before, of_twin) = (toy.forward(&view, Mode::Eval)?, twin.network(&values)?.forward(&view, Mode::Eval)?);
    assert_close("same parameters", &of_twin.cam, &before.cam, 0.0)?;
    assert!(
        store.named_vars().iter().all(|(_, var)| of_twin.cam.sum_all().unwrap().backward().unwrap().get(var).is_none())
    );
    // Later steps of the trained network do not reach the copies.
    for (_, var) in store.named_vars() {
        var.set(&(var.as_tensor() * 2.0)?)?;
    }
    assert_close("copies", &twin.network(&values)?.forward(&view, Mode::Eval)?.cam, &before.cam, 0.0)?;
    let mut lacking = values;
    lacking.remove("fc.weight");
    assert!(twin.network(&lacking).is_err_and(|err| err.to_string().contains("fc.weight")));
    Ok(())
}

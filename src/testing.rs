//! What tests of a plug-in need: a toy baseline, a gradient checker, tolerances. Feature `testing`.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;

use crate::baseline::{Baseline, BaselineSpec, Mode, ParameterGroup, Step, ViewOutput};
use crate::error::Result;
use crate::init::{CONV_DEFAULT, ParameterStore};
use crate::label::ClassLayout;
use crate::objective::Objective;
use crate::ops;
use crate::regularizer::Twin;
use crate::sampler::{Sampler, SeededSampler};
use crate::view::View;

pub use crate::ops::poison_buffers;
#[cfg(feature = "emulate")]
pub use crate::ops::{ThreadOrder, emulated, is_emulated};

/// Largest absolute difference over the largest absolute value of `want`; 0 for two empty tensors.
///
/// # Panics
/// When the shapes differ or a value is not finite.
pub fn relative_error(got: &Tensor, want: &Tensor) -> Result<f64> {
    assert_eq!(got.dims(), want.dims(), "shapes differ");
    let got = got.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let want = want.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let mut error = 0f64;
    let mut scale = 0f64;
    for (g, w) in got.iter().zip(&want) {
        assert!(g.is_finite() && w.is_finite(), "not finite: got {g}, want {w}");
        error = error.max((g - w).abs());
        scale = scale.max(w.abs());
    }
    Ok(if error == 0.0 { 0.0 } else { error / scale.max(f64::MIN_POSITIVE) })
}

/// Fails unless `got` is within `tolerance` of `want`, relative to the largest absolute value of `want`.
///
/// # Panics
/// When it is not.
pub fn assert_close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) -> Result<()> {
    let error = relative_error(got, want)?;
    assert!(error <= tolerance, "{what}: relative error {error:.3e} exceeds {tolerance:.1e}");
    Ok(())
}

/// Compares the gradient of `f` at `inputs` (float64) with central differences, and returns the largest error relative
/// to the largest gradient entry. `f` maps the inputs to a scalar.
///
/// At most `probes` entries of each input are perturbed, spread evenly over it.
///
/// # Errors
/// Those of `f`.
///
/// # Panics
/// When an input gets no gradient at all.
pub fn gradient_error(inputs: &[Tensor], probes: usize, f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
    let vars: Vec<Var> =
        inputs.iter().map(|t| Ok(Var::from_tensor(&t.to_dtype(DType::F64)?)?)).collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let grads = f(&tensors)?.backward()?;
    let step = 1e-6;
    let (mut error, mut scale) = (0f64, 0f64);
    for (which, var) in vars.iter().enumerate() {
        let grad = grads.get(var).unwrap_or_else(|| panic!("input {which} gets no gradient"));
        let grad = grad.flatten_all()?.to_vec1::<f64>()?;
        scale = grad.iter().fold(scale, |m, g| m.max(g.abs()));
        let base = var.as_tensor().flatten_all()?.to_vec1::<f64>()?;
        let stride = (base.len() / probes.max(1)).max(1);
        for i in (0..base.len()).step_by(stride) {
            let at = |delta: f64| -> Result<f64> {
                let mut moved = base.clone();
                moved[i] += delta;
                let mut args: Vec<Tensor> = tensors.iter().map(Tensor::detach).collect();
                args[which] = Tensor::from_vec(moved, var.shape(), var.device())?;
                Ok(f(&args)?.to_scalar::<f64>()?)
            };
            let numeric = (at(step)? - at(-step)?) / (2.0 * step);
            error = error.max((numeric - grad[i]).abs());
        }
    }
    Ok(error / scale.max(1e-12))
}

/// Standard normal float64 tensor of a seed.
///
/// # Errors
/// Those of candle.
pub fn randn(seed: u64, dims: &[usize]) -> Result<Tensor> {
    let len = dims.iter().product();
    Ok(Tensor::from_vec(SeededSampler::new(seed).normal(len)?, dims, &Device::Cpu)?)
}

/// Scope of the toy's parameters.
const TOY_SCOPE: &str = "toy";

/// The smallest baseline there is: one 3x3 convolution as trunk, one 1x1 as classifier.
#[derive(Debug)]
pub struct ToyBaseline {
    spec: BaselineSpec,
    trunk: Tensor,
    classifier: Tensor,
}

impl ToyBaseline {
    /// A toy of so many foreground classes and feature channels, its parameters under `toy.`.
    ///
    /// # Errors
    /// When there is no class.
    pub fn new(
        num_foreground: usize,
        feature_dim: usize,
        store: &ParameterStore,
        seed: u64,
        dtype: DType,
    ) -> Result<Self> {
        Self::build(num_foreground, feature_dim, &store.var_builder(seed, dtype, &Device::Cpu).pp(TOY_SCOPE))
    }

    /// Further instances of the toy in `store`, for methods that run two networks.
    pub fn twin(num_foreground: usize, feature_dim: usize, store: &ParameterStore) -> Twin {
        Twin::new(store.clone(), TOY_SCOPE, move |vb| Ok(Box::new(Self::build(num_foreground, feature_dim, &vb)?)))
    }

    fn build(num_foreground: usize, feature_dim: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let layout = ClassLayout::new(num_foreground)?;
        Ok(Self {
            spec: BaselineSpec { layout, feature_dim, stride: 1 },
            trunk: vb.get_with_hints((feature_dim, 3, 3, 3), "trunk.weight", CONV_DEFAULT)?,
            classifier: vb.get_with_hints((layout.num_classes(), feature_dim, 1, 1), "fc.weight", CONV_DEFAULT)?,
        })
    }
}

impl Baseline for ToyBaseline {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, _mode: Mode<'_>) -> Result<ViewOutput> {
        let features = ops::relu(&view.image().conv2d(&self.trunk, 1, 1, 1, 1)?)?;
        let cam = features.conv2d(&self.classifier, 0, 1, 1, 1)?;
        let logits = cam.mean((2, 3))?.narrow(1, 0, self.spec.layout.num_foreground())?;
        Ok(ViewOutput { logits, cam, refined_cam: None, features })
    }

    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        let mut objective = Objective::default();
        let losses = step.outputs.as_ref().try_map(|o| ops::soft_margin(&o.logits, step.labels.multi_hot()))?;
        objective.terms.push("cls", 1.0, losses.mean()?)?;
        Ok(objective)
    }

    fn parameter_group(&self, _name: &str) -> ParameterGroup {
        ParameterGroup::Pretrained
    }
}

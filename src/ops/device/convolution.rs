//! What a convolution on a device is asked for.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::DType;

/// How convolutions of float32 multiply on NVIDIA devices. On the CPU, and for other types, it changes nothing: float16
/// and bfloat16 are multiplied by tensor cores with sums in float32, float64 in float64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// In float32, as on the CPU.
    #[default]
    Float32,
    /// By tensor cores, which round factors to 10 bits after the point: several times faster. PyTorch:
    /// `torch.backends.cudnn.allow_tf32`, there on by default.
    Tf32,
}

static TF32: AtomicBool = AtomicBool::new(false);

/// Sets how all convolutions of this process that begin from now on multiply.
pub fn set_convolution_precision(precision: Precision) {
    TF32.store(precision == Precision::Tf32, Ordering::Relaxed);
}

/// How convolutions multiply.
pub fn convolution_precision() -> Precision {
    if TF32.load(Ordering::Relaxed) { Precision::Tf32 } else { Precision::Float32 }
}

/// Which of the three products; the factors are named in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Pass {
    /// Input, weight.
    Forward,
    /// Gradient, weight.
    InputGradient,
    /// Input, gradient.
    WeightGradient,
}

/// A convolution with all its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) struct Convolution {
    pub(in crate::ops) pass: Pass,
    pub(in crate::ops) dtype: DType,
    pub(in crate::ops) precision: Precision,
    pub(in crate::ops) input: [usize; 4],
    pub(in crate::ops) weight: [usize; 4],
    pub(in crate::ops) result: [usize; 4],
    pub(in crate::ops) stride: usize,
    pub(in crate::ops) padding: usize,
    pub(in crate::ops) dilation: usize,
    pub(in crate::ops) groups: usize,
}

impl Convolution {
    /// Shape of what the pass gives.
    pub(in crate::ops) fn dims(&self) -> [usize; 4] {
        match self.pass {
            Pass::Forward => self.result,
            Pass::InputGradient => self.input,
            Pass::WeightGradient => self.weight,
        }
    }
}

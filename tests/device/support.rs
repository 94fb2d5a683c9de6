//! Runs one function of tensors on the CPU and on every device there is, and compares.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::testing::{ThreadOrder, emulated, relative_error};
use candle_wsss::{Result, Sampler, SeededSampler};

/// What the types may differ by, relative to the largest value: the last places of what is stored, and sums in another
/// order.
pub(super) fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 2e-5,
        DType::F16 => 4e-3,
        _ => 3e-2,
    }
}

pub(super) const TYPES: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

/// Standard normal numbers.
pub(super) fn normal(name: &str, dims: &[usize], dtype: DType) -> Result<Tensor> {
    let values = SeededSampler::new(5).child(name).normal(dims.iter().product())?;
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)?)
}

/// Standard normal numbers rounded to quarters: with ties and zeros, and the same in all types.
pub(super) fn grid(name: &str, dims: &[usize], dtype: DType) -> Result<Tensor> {
    Ok(((normal(name, dims, DType::F64)? * 4.0)?.round()? / 4.0)?.to_dtype(dtype)?)
}

type Run = Vec<Option<Tensor>>;

/// Result and gradients of a function: those of `Σ result * weights`, with fixed random weights.
fn evaluate(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Run> {
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<Var>>>()?;
    let args: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let result = f(&args)?;
    let weights = normal("weights", result.dims(), DType::F64)?;
    let weights = weights.to_dtype(result.dtype())?.to_device(result.device())?;
    let mut all = vec![Some(result.detach())];
    // Summed in float64 at the end of the graph only: what is compared is the operation.
    let loss = (&result * weights)?.to_dtype(DType::F64)?.sum_all()?;
    if result.track_op() {
        let grads = loss.backward()?;
        all.extend(vars.iter().map(|var| grads.get(var).cloned()));
    }
    Ok(all)
}

/// Compares value and gradients on the CPU with those on every device there is.
pub(super) fn compare(what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<()> {
    let tolerance = inputs.iter().map(|x| tolerance(x.dtype())).fold(0.0, f64::max);
    let cpu = evaluate(inputs, &f)?;
    let first = emulated(ThreadOrder::Forward, || evaluate(inputs, &f))?;
    agree(&format!("{what}, emulated"), &first, &cpu, tolerance)?;
    for order in [ThreadOrder::Backward, ThreadOrder::Scattered] {
        let run = emulated(order, || evaluate(inputs, &f))?;
        same_bytes(&format!("{what}, {order:?}"), &run, &first)?;
    }
    if let Some(device) = gpu() {
        let there = inputs.iter().map(|x| x.to_device(&device)).collect::<candle_core::Result<Vec<Tensor>>>()?;
        let back = |run: Run| -> Result<Run> {
            let back = |x: Option<Tensor>| x.map(|x| x.to_device(&Device::Cpu)).transpose();
            Ok(run.into_iter().map(back).collect::<candle_core::Result<Run>>()?)
        };
        let (first, second) = (back(evaluate(&there, &f)?)?, back(evaluate(&there, &f)?)?);
        agree(&format!("{what}, CUDA"), &first, &cpu, tolerance)?;
        same_bytes(&format!("{what}, CUDA again"), &second, &first)?;
    }
    Ok(())
}

/// The first GPU, with buffers full of NaN before kernels write them; nothing where there is none.
pub(super) fn gpu() -> Option<Device> {
    static DEVICE: std::sync::OnceLock<Option<Device>> = std::sync::OnceLock::new();
    let device = DEVICE.get_or_init(|| {
        candle_wsss::testing::poison_buffers(true);
        candle_wsss::ops::cuda_device(0).ok()
    });
    device.clone()
}

fn agree(what: &str, got: &[Option<Tensor>], want: &[Option<Tensor>], tolerance: f64) -> Result<()> {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let part = if i == 0 { "result".to_string() } else { format!("gradient {i}") };
        match (got, want) {
            (Some(got), Some(want)) => {
                assert_eq!(got.dtype(), want.dtype(), "{what}: {part}");
                let error = relative_error(got, want)?;
                assert!(error <= tolerance, "{what}: {part}: relative error {error:.3e} exceeds {tolerance:.1e}");
            }
            (None, None) => {}
            _ => panic!("{what}: {part} is there on one side only"),
        }
    }
    Ok(())
}

fn same_bytes(what: &str, got: &[Option<Tensor>], want: &[Option<Tensor>]) -> Result<()> {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, want) = (bits(got.as_ref())?, bits(want.as_ref())?);
        assert!(got == want, "{what}: part {i} has other bits than before");
    }
    Ok(())
}

// Widening keeps different numbers apart.
fn bits(x: Option<&Tensor>) -> Result<Vec<u64>> {
    let Some(x) = x else { return Ok(Vec::new()) };
    let values = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(values.into_iter().map(f64::to_bits).collect())
}

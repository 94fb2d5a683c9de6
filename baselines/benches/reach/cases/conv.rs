//! The convolutions of ResNet38d that are trained, one of each shape: ours, or those of candle.

use anyhow::{Result, bail};
use candle_core::{Device, Tensor, Var};
use candle_wsss::ops::{Conv2dSpec, conv2d};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

/// Channels in and out, side of the kernel, stride, dilation, and what the side of the image is divided by.
const LAYERS: [(usize, usize, usize, usize, usize, usize); 16] = [
    (128, 256, 3, 2, 1, 2),
    (128, 256, 1, 2, 1, 2),
    (256, 256, 3, 1, 1, 4),
    (256, 512, 3, 2, 1, 4),
    (256, 512, 1, 2, 1, 4),
    (512, 512, 3, 1, 1, 8),
    (512, 1024, 3, 1, 2, 8),
    (512, 1024, 1, 1, 1, 8),
    (1024, 512, 3, 1, 2, 8),
    (1024, 512, 1, 1, 1, 8),
    (512, 1024, 3, 1, 4, 8),
    (1024, 2048, 1, 1, 1, 8),
    (2048, 1024, 1, 1, 1, 8),
    (1024, 2048, 3, 1, 4, 8),
    (2048, 4096, 1, 1, 1, 8),
    (512, 512, 3, 1, 2, 8),
];

/// Nothing is needed but the names.
pub(crate) fn make() -> Result<Tensors> {
    Ok(Tensors::from([("one".to_string(), Tensor::ones(1, candle_core::DType::F32, &Device::Cpu)?)]))
}

pub(crate) fn prepare(side: usize, form: &str, device: &Device) -> Result<Step> {
    let is_ours = match form {
        "ours" => true,
        "candle" => false,
        other => bail!("convolutions are ours or candle, not {other}"),
    };
    let mut layers = Vec::new();
    for (number, &(input, output, kernel, stride, dilation, divisor)) in LAYERS.iter().enumerate() {
        let variable = |name: &str, dims: &[usize]| -> Result<Var> {
            let values = inputs::normal(&format!("{name}{number}"), dims)?;
            Ok(Var::from_tensor(&values.to_device(device)?)?)
        };
        let x = variable("x", &[1, input, side / divisor, side / divisor])?;
        let scale = 1.0 / ((input * kernel * kernel) as f64).sqrt();
        let weight = variable("weight", &[output, input, kernel, kernel])?;
        weight.set(&(weight.as_tensor() * scale)?)?;
        layers.push((x, weight, Conv2dSpec { stride, padding: dilation * (kernel / 2), dilation, groups: 1 }));
    }
    Ok(Box::new(move || {
        let mut value: Option<Tensor> = None;
        let mut gradients = Vec::new();
        for (x, weight, spec) in &layers {
            let y = if is_ours {
                conv2d(x.as_tensor(), weight.as_tensor(), *spec)?
            } else {
                x.conv2d(weight.as_tensor(), spec.padding, spec.stride, spec.dilation, spec.groups)?
            };
            // A gradient of ones would let a product be a sum.
            let outcome = Outcome::backward(y.sqr()?.mean_all()?, &[x, weight])?;
            gradients.extend(outcome.gradients);
            value = Some(value.map_or(Ok(outcome.value.clone()), |sum| sum + &outcome.value)?);
        }
        let Some(value) = value else { bail!("no layer") };
        Ok(Outcome { value, gradients })
    }))
}

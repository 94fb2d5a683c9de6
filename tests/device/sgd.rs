use candle_core::{DType, Tensor, Var};
use candle_wsss::Result;
use candle_wsss::ops::{SgdStep, gradient_scale, sgd_step};

use super::support::{TYPES, compare, normal};

const NUMBERS: SgdStep = SgdStep { rate: 0.3, weight_decay: 0.1, momentum: 0.9 };

/// Parameter and velocity after two steps.
fn two_steps(x: &[Tensor], numbers: SgdStep, limit: Option<f64>, remembers: bool) -> Result<Tensor> {
    let weight = Var::from_tensor(&x[0].copy()?.detach())?;
    let velocity = remembers.then(|| x[2].copy().map(|x| x.detach())).transpose()?;
    for grad in [&x[1], &x[2]] {
        let grad = grad.detach();
        let scale = limit.map(|limit| gradient_scale(&[&grad, &x[0].detach()], limit)).transpose()?;
        sgd_step(&weight, &grad, velocity.as_ref(), scale.as_ref(), numbers)?;
    }
    Ok(Tensor::stack(&[weight.as_tensor(), velocity.as_ref().unwrap_or(&weight)], 0)?.detach())
}

#[test]
fn steps_on_devices() -> Result<()> {
    for dtype in TYPES {
        for dims in [&[1][..], &[3, 129], &[40, 5, 7], &[0, 3]] {
            let x = [normal("weight", dims, dtype)?, normal("grad", dims, dtype)?, normal("velocity", dims, dtype)?];
            for (limit, remembers) in [(None, false), (None, true), (Some(0.5), true), (Some(1e6), true)] {
                let what = format!("sgd {dims:?} {dtype:?}, limit {limit:?}, velocity {remembers}");
                compare(&what, &x, |x| two_steps(x, NUMBERS, limit, remembers))?;
            }
            let plain = SgdStep { weight_decay: 0.0, ..NUMBERS };
            compare(&format!("sgd without decay {dims:?} {dtype:?}"), &x, |x| two_steps(x, plain, None, true))?;
        }
    }
    Ok(())
}

/// More elements than one part holds.
#[test]
fn norm_of_many_gradients_on_devices() -> Result<()> {
    for dtype in [DType::F32, DType::BF16] {
        let x = [normal("large", &[40_000], dtype)?, normal("small", &[3], dtype)?];
        compare(&format!("norm {dtype:?}"), &x, |x| gradient_scale(&[&x[0].detach(), &x[1].detach()], 2.0))?;
    }
    Ok(())
}

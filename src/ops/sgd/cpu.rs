//! CPU code of the step and of the norm. Deterministic: every element by itself, sums of fixed parts in their order.

use candle_core::WithDType;
use half::{bf16, f16};
use rayon::prelude::*;

use super::SgdStep;
use crate::ops::kernel::{GRAIN, Real};

/// A type of tensors, and the type it is computed with.
pub(super) trait Stored: WithDType {
    type Wide: Real;

    fn wide(self) -> Self::Wide;
    fn rounded(value: Self::Wide) -> Self;
}

macro_rules! stored {
    ($type:ty, $wide:ty, $widen:expr, $round:expr) => {
        impl Stored for $type {
            type Wide = $wide;

            fn wide(self) -> $wide {
                $widen(self)
            }

            fn rounded(value: $wide) -> Self {
                $round(value)
            }
        }
    };
}
stored!(f32, f32, |x| x, |x| x);
stored!(f64, f64, |x| x, |x| x);
stored!(f16, f32, Self::to_f32, Self::from_f32);
stored!(bf16, f32, Self::to_f32, Self::from_f32);

/// Every product and sum is rounded as if it were an operation of its own.
pub(super) fn step<T: Stored>(
    numbers: &SgdStep,
    scale: Option<f64>,
    weight: &mut [T],
    grad: &[T],
    velocity: Option<&mut [T]>,
) {
    let number = |value: f64| <T::Wide as WithDType>::from_f64(value);
    let (rate, decay, momentum) = (number(numbers.rate), number(numbers.weight_decay), number(numbers.momentum));
    let (scale, decays) = (scale.map(number), numbers.weight_decay != 0.0);
    let direction = |weight: T::Wide, grad: T| {
        let grad = grad.wide();
        let scaled = if let Some(scale) = scale { grad * scale } else { grad };
        if decays { scaled + weight * decay } else { scaled }
    };
    let weights = weight.par_chunks_mut(GRAIN).zip(grad.par_chunks(GRAIN));
    let Some(velocity) = velocity else {
        return weights.for_each(|(weight, grad)| {
            for (weight, &grad) in weight.iter_mut().zip(grad) {
                let wide = weight.wide();
                *weight = T::rounded(wide - direction(wide, grad) * rate);
            }
        });
    };
    weights.zip(velocity.par_chunks_mut(GRAIN)).for_each(|((weight, grad), velocity)| {
        for ((weight, &grad), velocity) in weight.iter_mut().zip(grad).zip(velocity) {
            let wide = weight.wide();
            let direction = direction(wide, grad) + velocity.wide() * momentum;
            *velocity = T::rounded(direction);
            *weight = T::rounded(wide - direction * rate);
        }
    });
}

/// Sums of the squares of runs of elements, as many as there is room for.
pub(super) fn squares<T: Stored>(x: &[T], sums: &mut [f64]) {
    let run = x.len().div_ceil(sums.len().max(1)).max(1);
    let sum = |run: &[T]| run.iter().map(|x| x.wide().to_f64()).map(|x| x * x).sum::<f64>();
    sums.fill(0.0);
    sums.par_iter_mut().zip(x.par_chunks(run)).for_each(|(total, run)| *total = sum(run));
}

//! `ops::seed_scores`, `ops::best_class`, and the normalisations.

use candle_core::{DType, Tensor};
use candle_wsss::ops::{best_class, max_norm, min_max_norm, seed_scores};
use candle_wsss::{ClassLayout, ImageLabels, Result};

use super::support::{TYPES, compare, normal};

const EPSILON: f64 = 1e-5;

fn best(x: &Tensor, present: &[&[usize]]) -> Result<Tensor> {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    let labels = ImageLabels::new(present, ClassLayout::new(x.dim(1)? - 1)?, DType::F32, x.device())?;
    Ok(best_class(x, &labels)?.to_dtype(x.dtype())?)
}

#[test]
fn seeds_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, size) in
            [([2, 4, 12, 12], (6, 6)), ([1, 3, 5, 7], (11, 4)), ([2, 2, 1, 3], (3, 3)), ([1, 5, 4, 4], (4, 4))]
        {
            let what = format!("{dims:?} to {size:?} {dtype:?}");
            let x = [normal("x", &dims, dtype)?];
            compare(&format!("seed_scores {what}"), &x, |x| seed_scores(&x[0], size, 0.2, EPSILON))?;
            let present: &[&[usize]] = if dims[0] == 1 { &[&[0]] } else { &[&[0], &[]] };
            compare(&format!("best_class {what}"), &x, |x| best(&x[0], present))?;
        }
    }
    let ties = [(normal("ties", &[2, 4, 5, 5], DType::F32)? * 0.8)?.round()?];
    compare("best_class of ties", &ties, |x| best(&x[0], &[&[0, 2], &[1]]))
}

#[test]
fn normalisations_on_devices() -> Result<()> {
    for dtype in TYPES {
        for dims in [[2, 3, 5, 7], [1, 1, 1, 2], [1, 2, 33, 20]] {
            for shift in [0.0, 2.0, -9.0] {
                let x = [(normal("x", &dims, dtype)? + shift)?];
                compare(&format!("max_norm {dims:?} {dtype:?}"), &x, |x| max_norm(&x[0], EPSILON))?;
                compare(&format!("min_max_norm {dims:?} {dtype:?}"), &x, |x| min_max_norm(&x[0], EPSILON))?;
            }
        }
    }
    let ties = [(normal("ties", &[2, 2, 5, 5], DType::F64)?.round()? + 3.0)?];
    compare("max_norm of ties", &ties, |x| max_norm(&x[0], EPSILON))
}

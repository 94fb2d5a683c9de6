//! `ops::min_pool` and `ops::resized_mean`.

use candle_core::{DType, Tensor};
use candle_wsss::ops::{min_pool, resized_mean};
use candle_wsss::{ClassLayout, ImageLabels, Result};

use super::support::{TYPES, compare, normal};

/// Sizes of the map and of the image, and the classes of every image.
type Case = ((usize, usize), (usize, usize), &'static [&'static [usize]]);

fn pooled(x: &Tensor, size: (usize, usize), present: &[&[usize]], divisor: usize) -> Result<Tensor> {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    let layout = ClassLayout::new(x.dim(1)? - 1)?;
    let labels = ImageLabels::new(present, layout, DType::F32, x.device())?;
    min_pool(x, size, &labels, divisor)?.ok_or_else(|| candle_wsss::Error::value("min_pool", "left out"))
}

#[test]
fn min_pool_on_devices() -> Result<()> {
    let cases: [Case; 4] = [
        ((6, 6), (24, 24), &[&[0, 2], &[1]]),
        ((5, 7), (19, 26), &[&[0, 1, 2], &[], &[2]]),
        ((9, 8), (5, 3), &[&[1, 2]]),
        ((7, 6), (7, 6), &[&[0], &[1, 2]]),
    ];
    for (map, size, present) in cases {
        for dtype in TYPES {
            // Above zero as a rule, so that there is a gradient.
            let x = [(normal("x", &[present.len(), 4, map.0, map.1], dtype)? + 1.5)?];
            for divisor in [1, 4] {
                let what = format!("min_pool {map:?} to {size:?} {dtype:?} 1/{divisor}");
                compare(&what, &x, |x| pooled(&x[0], size, present, divisor))?;
            }
        }
    }
    Ok(())
}

#[test]
fn min_pool_of_ties_on_devices() -> Result<()> {
    let levels = (normal("x", &[3, 4, 6, 5], DType::F64)? * 1.2)?.round()?;
    for x in [(&levels + 1.0)?, (&levels + 3.0)?, levels.zeros_like()?, levels.ones_like()?] {
        for dtype in [DType::F32, DType::F64] {
            let x = [x.to_dtype(dtype)?];
            compare("min_pool of ties", &x, |x| pooled(&x[0], (6, 5), &[&[0, 2], &[1], &[]], 3))?;
            compare("min_pool of enlarged ties", &x, |x| pooled(&x[0], (23, 12), &[&[0, 2], &[1], &[]], 3))?;
        }
    }
    Ok(())
}

#[test]
fn resized_means_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, size) in
            [([2, 3, 5, 7], (21, 30)), ([1, 2, 8, 9], (5, 4)), ([2, 1, 1, 4], (1, 9)), ([1, 1, 3, 3], (1, 1))]
        {
            let x = [normal("x", &dims, dtype)?];
            compare(&format!("resized_mean {dims:?} to {size:?} {dtype:?}"), &x, |x| resized_mean(&x[0], size))?;
        }
    }
    Ok(())
}

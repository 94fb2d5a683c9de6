//! `ops::top_pixels` and `ops::pixel_sums`.

use candle_core::DType;
use candle_wsss::Result;
use candle_wsss::ops::{pixel_sums, top_pixels};

use super::support::{TYPES, compare, normal};

/// Scores and how many channels the features have.
const SHAPES: [([usize; 4], usize); 4] =
    [([2, 3, 4, 5], 5), ([1, 1, 1, 1], 1), ([3, 4, 13, 17], 3), ([2, 40, 6, 6], 2)];

#[test]
fn top_pixels_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, _) in SHAPES {
            let pixels = dims[0] * dims[2] * dims[3];
            // Rounded, so that many are equal.
            let scores = [(normal("scores", &dims, dtype)? * 2.0)?.round()?];
            for k in [1, 3, 40, pixels].into_iter().filter(|k| *k <= pixels) {
                let what = format!("top_pixels {dims:?} {dtype:?} {k}");
                compare(&what, &scores, |x| Ok(top_pixels(&x[0].detach(), None, k)?.0))?;
                compare(&what, &scores, |x| Ok(top_pixels(&x[0].detach(), Some(&[0]), k)?.1.to_dtype(DType::F64)?))?;
            }
        }
    }
    Ok(())
}

#[test]
fn sums_of_pixels_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, dim) in SHAPES {
            let [n, _, h, w] = dims;
            let (scores, features) = (normal("scores", &dims, dtype)?, [normal("features", &[n, dim, h, w], dtype)?]);
            for k in [1, 7, 150].into_iter().filter(|k| *k <= n * h * w) {
                compare(&format!("pixel_sums {dims:?} {dtype:?} {k}"), &features, |x| {
                    let (weights, indices) = top_pixels(&scores.to_device(x[0].device())?, None, k)?;
                    pixel_sums(&x[0], &indices, &weights)
                })?;
            }
        }
    }
    Ok(())
}

use candle_wsss::Result;
use candle_wsss::ops::{Corners, resize_bilinear, resize_nearest};

use super::support::{TYPES, compare, normal};

/// Larger, smaller, mixed, the same, from and to one pixel, no image.
const SIZES: [([usize; 4], (usize, usize)); 9] = [
    ([2, 3, 5, 7], (11, 20)),
    ([1, 2, 16, 16], (5, 3)),
    ([1, 1, 3, 9], (9, 4)),
    ([1, 2, 4, 4], (4, 4)),
    ([2, 1, 1, 1], (6, 5)),
    ([1, 2, 6, 5], (1, 1)),
    ([1, 1, 1, 8], (3, 2)),
    ([1, 1, 28, 28], (56, 55)),
    ([0, 2, 3, 3], (5, 5)),
];

#[test]
fn bilinear_maps_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, size) in SIZES {
            for corners in [Corners::Aligned, Corners::HalfPixel] {
                let x = [normal("x", &dims, dtype)?];
                let what = format!("bilinear {dims:?} to {size:?}, {corners:?}, {dtype:?}");
                compare(&what, &x, |x| resize_bilinear(&x[0], size, corners))?;
            }
        }
    }
    Ok(())
}

#[test]
fn nearest_pixels_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, size) in SIZES {
            let x = [normal("x", &dims, dtype)?];
            compare(&format!("nearest {dims:?} to {size:?}, {dtype:?}"), &x, |x| resize_nearest(&x[0], size))?;
        }
    }
    Ok(())
}

use candle_wsss::Result;
use candle_wsss::ops::{MaxPool2dSpec, max_pool2d};

use super::support::{TYPES, compare, grid};

/// Of few different numbers, so that there are ties.
#[test]
fn max_pools_on_devices() -> Result<()> {
    let spec = |kernel: usize, stride: usize, padding: usize| MaxPool2dSpec { kernel, stride, padding };
    for dtype in TYPES {
        for (dims, spec) in [
            ([2, 3, 7, 8], spec(3, 2, 1)),
            ([1, 2, 8, 7], spec(2, 2, 0)),
            ([1, 1, 9, 5], spec(3, 1, 1)),
            ([1, 2, 11, 6], spec(2, 3, 1)),
            ([2, 1, 5, 5], spec(5, 4, 2)),
            ([1, 1, 1, 1], spec(1, 1, 0)),
            ([0, 2, 4, 4], spec(2, 2, 0)),
        ] {
            let x = [grid("x", &dims, dtype)?];
            compare(&format!("max pool {dims:?} {spec:?} {dtype:?}"), &x, |x| max_pool2d(&x[0], spec))?;
        }
    }
    Ok(())
}

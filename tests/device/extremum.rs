use candle_core::{Device, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{max_keepdim, min_keepdim};
use candle_wsss::testing::{ThreadOrder, emulated};

use super::support::{TYPES, compare, grid};

/// Of few different numbers, so that there are ties.
#[test]
fn extrema_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, dim) in [
            (&[3, 5, 7][..], 1),
            (&[2, 300], 1),
            (&[4, 33], 1),
            (&[1, 1], 0),
            (&[5, 3, 2], 0),
            (&[2, 31], 1),
            (&[0, 4], 1),
        ] {
            let x = [grid("x", dims, dtype)?];
            compare(&format!("max {dims:?} {dtype:?}"), &x, |x| max_keepdim(&x[0], dim))?;
            compare(&format!("min {dims:?} {dtype:?}"), &x, |x| min_keepdim(&x[0], dim))?;
        }
    }
    Ok(())
}

#[test]
fn not_a_number_is_extreme_on_devices() -> Result<()> {
    for len in [5, 70] {
        let mut values = vec![1f32; len];
        values[1] = f32::INFINITY;
        values[2] = f32::NAN;
        values[4] = f32::NEG_INFINITY;
        let x = Tensor::from_vec(values, (1, len), &Device::Cpu)?;
        for order in ThreadOrder::ALL {
            for x in [x.clone(), x.t()?.contiguous()?] {
                let dim = usize::from(x.dims()[0] == 1);
                let (max, min) =
                    emulated(order, || Ok::<_, candle_wsss::Error>((max_keepdim(&x, dim)?, min_keepdim(&x, dim)?)))?;
                assert!([max, min].iter().all(|y| y.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0].is_nan()));
            }
        }
    }
    let empty = Tensor::zeros((2, 0), candle_core::DType::F32, &Device::Cpu)?;
    assert!(emulated(ThreadOrder::Forward, || max_keepdim(&empty, 1)).is_err());
    Ok(())
}

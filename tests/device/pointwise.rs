use candle_core::DType;
use candle_wsss::Result;
use candle_wsss::ops::{abs, clamp, relu, soft_margin};

use super::support::{TYPES, compare, grid, normal};

#[test]
fn functions_of_elements_on_devices() -> Result<()> {
    for dtype in TYPES {
        for dims in [&[1][..], &[2, 3, 129], &[0, 3]] {
            // A grid has elements at the kinks.
            for (kind, x) in [("normal", normal("x", dims, dtype)?), ("grid", grid("x", dims, dtype)?)] {
                let what = |name: &str| format!("{name} of {kind} {dims:?} {dtype:?}");
                compare(&what("relu"), std::slice::from_ref(&x), |x| relu(&x[0]))?;
                compare(&what("abs"), std::slice::from_ref(&x), |x| abs(&x[0]))?;
                compare(&what("clamp"), std::slice::from_ref(&x), |x| clamp(&x[0], -0.5, 1.0))?;
            }
        }
    }
    Ok(())
}

/// The one that goes through exponentials.
#[test]
fn soft_margin_on_devices() -> Result<()> {
    for dtype in TYPES {
        let scores = (normal("scores", &[5, 7], dtype)? * 20.0)?;
        let labels = normal("labels", &[5, 7], dtype)?.ge(0.0)?.to_dtype(dtype)?;
        compare(&format!("soft margin {dtype:?}"), &[scores], |x| {
            soft_margin(&x[0], &labels.to_device(x[0].device())?)
        })?;
    }
    Ok(())
}

#[test]
fn not_a_number_passes_on_devices() -> Result<()> {
    let x = candle_core::Tensor::new(&[f32::NAN, -1.0, f32::INFINITY], &candle_core::Device::Cpu)?;
    for order in candle_wsss::testing::ThreadOrder::ALL {
        let all = candle_wsss::testing::emulated(order, || {
            Ok::<_, candle_wsss::Error>([relu(&x)?, abs(&x)?, clamp(&x, 0.0, 2.0)?])
        })?;
        for (y, last) in all.iter().zip([f32::INFINITY, f32::INFINITY, 2.0]) {
            let y = y.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            assert!(y[0].is_nan() && y[1] >= 0.0 && y[2] == last, "{y:?}");
        }
    }
    Ok(())
}

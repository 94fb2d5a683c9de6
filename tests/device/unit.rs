//! `ops::unit` and `ops::unit_added`.

use candle_core::DType;
use candle_wsss::Result;
use candle_wsss::ops::{unit, unit_added};
use candle_wsss::testing::{ThreadOrder, emulated};

use super::support::{TYPES, compare, normal};

#[test]
fn unit_vectors_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, dim) in [(&[3, 5, 7][..], 1), (&[2, 300], 1), (&[1, 1], 0), (&[4, 130, 2, 3], 1), (&[2, 3, 33], 2)] {
            let x = [normal("x", dims, dtype)?];
            compare(&format!("unit {dims:?} {dtype:?}"), &x, |x| unit(&x[0], dim, 1e-3))?;
            compare(&format!("unit_added {dims:?} {dtype:?}"), &x, |x| unit_added(&x[0], dim, 1e-1))?;
        }
    }
    Ok(())
}

#[test]
fn zero_vectors_on_devices() -> Result<()> {
    let x = [normal("x", &[2, 4], DType::F32)?.zeros_like()?];
    compare("unit of 0", &x, |x| unit(&x[0], 1, 1e-3))?;
    compare("unit_added of 0", &x, |x| unit_added(&x[0], 1, 1e-3))
}

#[test]
fn what_has_no_kernel_says_so() -> Result<()> {
    let x = normal("x", &[2, 4], DType::F32)?.to_dtype(DType::U32)?;
    assert!(emulated(ThreadOrder::Forward, || unit(&x, 1, 1e-3)).is_err());
    Ok(())
}

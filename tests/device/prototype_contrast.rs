//! `ops::prototype_contrast`.

use candle_core::DType;
use candle_wsss::Result;

use super::support::{TYPES, compare};
use crate::ops::prototype_contrast::{Case, SIZES};

fn check(case: &Case, dtype: DType) -> Result<()> {
    let features = [case.features.to_dtype(dtype)?];
    compare(&format!("{} {dtype:?}", case.name), &features, |x| case.fused(&x[0]))
}

#[test]
fn contrast_on_devices() -> Result<()> {
    for dtype in TYPES {
        for case in Case::all(20).into_iter().filter(|case| case.features.elem_count() < 1000) {
            check(&case, dtype)?;
        }
    }
    Ok(())
}

#[test]
fn contrast_of_several_tiles_on_devices() -> Result<()> {
    check(&Case::random(21, SIZES[3], None), DType::F32)?;
    check(&Case::random(22, SIZES[4], None), DType::BF16)
}

#[test]
fn contrast_with_many_classes_on_devices() -> Result<()> {
    check(&Case::random(23, SIZES[6], None), DType::F64)
}

#[test]
fn zero_vectors_on_devices() -> Result<()> {
    for case in Case::all(24).into_iter().take(6) {
        check(&Case { features: case.features.zeros_like()?, ..case }, DType::F32)?;
    }
    Ok(())
}

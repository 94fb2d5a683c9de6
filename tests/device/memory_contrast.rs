//! `ops::memory_contrast`.

use candle_core::{DType, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{MemoryContrastSpec, memory_contrast, memory_contrast_composed};

use super::support::{TYPES, compare, normal};

/// `[queries, classes, rows of a class, dimensions]`.
const SHAPES: [[usize; 4]; 4] = [[3, 4, 5, 6], [1, 1, 1, 1], [10, 3, 40, 140], [9, 2, 3, 33]];

#[test]
fn memory_contrasts_on_devices() -> Result<()> {
    for dtype in TYPES {
        for [pairs, classes, length, dim] in SHAPES {
            let queries = [normal("queries", &[pairs, dim], dtype)?];
            let of: Vec<[usize; 2]> = (0..pairs).map(|pair| [pair % classes, pair * 3 % classes]).collect();
            let full = vec![length as u32; classes];
            let part: Vec<u32> = (0..classes as u32).map(|class| (class * 7 + 1).min(length as u32)).collect();
            for (filled, clamp_min) in [(&full, 1e-4), (&part, 1.5)] {
                let spec = MemoryContrastSpec { temperature: 0.3, clamp_min };
                let what = format!("memory_contrast {pairs} {classes} {length} {dim} {dtype:?} {clamp_min}");
                let bank = normal("bank", &[classes, length, dim], dtype)?;
                compare(&what, &queries, |x| memory_contrast(&x[0], &there(&bank, x)?, filled, &of, &spec))?;
            }
        }
    }
    Ok(())
}

#[test]
fn banks_of_half_precision_on_devices() -> Result<()> {
    let spec = MemoryContrastSpec { temperature: 0.3, clamp_min: 1e-4 };
    for queries in [DType::F32, DType::F64] {
        for rows in [DType::F16, DType::BF16] {
            let x = [normal("queries", &[5, 20], queries)?];
            let bank = normal("bank", &[3, 9, 20], rows)?;
            let of = [[0, 1], [2, 2], [1, 0], [0, 2], [2, 1]];
            compare("half bank", &x, |x| memory_contrast(&x[0], &there(&bank, x)?, &[9, 4, 1], &of, &spec))?;
        }
    }
    Ok(())
}

#[test]
fn queries_of_no_length_and_unwritten_classes_on_devices() -> Result<()> {
    let spec = MemoryContrastSpec { temperature: 0.3, clamp_min: 1e-4 };
    let bank = normal("bank", &[3, 4, 5], DType::F32)?;
    let queries = normal("queries", &[2, 5], DType::F32)?;
    let zeros = [queries.zeros_like()?];
    compare("zero queries", &zeros, |x| memory_contrast(&x[0], &there(&bank, x)?, &[4; 3], &[[0, 1], [2, 2]], &spec))?;
    compare("unwritten", &[queries], |x| {
        memory_contrast(&x[0], &there(&bank, x)?, &[4, 0, 1], &[[0, 1], [2, 1]], &spec)
    })
}

#[test]
fn composed_memory_contrasts_on_devices() -> Result<()> {
    let spec = MemoryContrastSpec { temperature: 0.3, clamp_min: 1e-4 };
    for dtype in [DType::F32, DType::F64] {
        let bank = normal("bank", &[3, 4, 5], dtype)?;
        let queries = [normal("queries", &[2, 5], dtype)?];
        compare("composed memory contrast", &queries, |x| {
            memory_contrast_composed(&x[0], &there(&bank, x)?, &[4, 2, 1], &[[0, 1], [2, 2]], &spec)
        })?;
    }
    Ok(())
}

// Where the first input is.
fn there(bank: &Tensor, x: &[Tensor]) -> Result<Tensor> {
    Ok(bank.to_device(x[0].device())?)
}

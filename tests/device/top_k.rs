use candle_core::{DType, Device, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{Order, top_k};
use candle_wsss::testing::{ThreadOrder, emulated};

use super::support::{TYPES, compare, grid, normal};

const ORDERS: [Order; 2] = [Order::Largest, Order::Smallest];

/// Row lengths, and how many of a row.
const SHORT: [([usize; 2], usize); 6] =
    [([3, 1], 1), ([2, 21], 4), ([5, 64], 64), ([1, 300], 7), ([2, 5], 0), ([0, 4], 2)];

#[test]
fn short_rows_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (dims, k) in SHORT {
            for order in ORDERS {
                for x in [normal("x", &dims, dtype)?, grid("x", &dims, dtype)?] {
                    let what = format!("top {k} of {dims:?}, {order:?}, {dtype:?}");
                    compare(&what, std::slice::from_ref(&x), |x| Ok(top_k(&x[0], k, order)?.values))?;
                    same_indices(&what, &x, k, order)?;
                }
            }
        }
    }
    Ok(())
}

/// Rows of several chunks, and selections of one, some and several tiles.
#[test]
fn long_rows_on_devices() -> Result<()> {
    for (dtype, dims, k) in [
        (DType::F32, [2, 5000], 1),
        (DType::F64, [1, 9000], 700),
        (DType::F16, [2, 4099], 4099),
        (DType::BF16, [1, 20000], 5000),
        (DType::F32, [1, 17000], 2500),
    ] {
        for (order, x) in ORDERS.into_iter().zip([normal("x", &dims, dtype)?, grid("x", &dims, dtype)?]) {
            same_indices(&format!("top {k} of {dims:?}, {order:?}, {dtype:?}"), &x, k, order)?;
        }
    }
    Ok(())
}

#[test]
fn special_numbers_on_devices() -> Result<()> {
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, -f32::NAN, f32::MAX, f32::MIN, 1e-45, -1e-45];
    for len in [10, 6000] {
        let values: Vec<f32> = (0..len).map(|i| special[i * 7 % special.len()]).collect();
        let x = Tensor::from_vec(values, (1, len), &Device::Cpu)?;
        for order in ORDERS {
            for dtype in [DType::F32, DType::F64] {
                same_indices(&format!("special numbers, {order:?}"), &x.to_dtype(dtype)?, len / 2 + 1, order)?;
            }
        }
    }
    Ok(())
}

fn same_indices(what: &str, x: &Tensor, k: usize, order: Order) -> Result<()> {
    let indices =
        |x: &Tensor| Ok::<_, candle_wsss::Error>(top_k(x, k, order)?.indices.flatten_all()?.to_vec1::<u32>()?);
    let want = indices(x)?;
    for threads in ThreadOrder::ALL {
        assert!(emulated(threads, || indices(x))? == want, "{what}: other indices, threads {threads:?}");
    }
    if let Some(device) = super::support::gpu() {
        assert!(indices(&x.to_device(&device)?)? == want, "{what}: other indices on CUDA");
    }
    Ok(())
}

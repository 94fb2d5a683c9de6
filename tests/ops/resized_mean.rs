//! Means over enlarged maps against the means of enlarged maps.

use candle_core::DType;
use candle_wsss::ops::{Corners, resize_bilinear, resized_mean};
use candle_wsss::testing::{assert_close, randn};

use super::{gradient, tensor};

#[test]
fn is_the_mean_of_the_resized_map() {
    for (seed, dims, size) in
        [(0, [2, 3, 5, 7], (21, 30)), (1, [1, 2, 8, 9], (5, 4)), (2, [2, 1, 1, 4], (1, 9)), (3, [1, 1, 3, 3], (1, 1))]
    {
        let x = randn(seed, &dims).unwrap();
        let composed =
            |x: &candle_core::Tensor| Ok(resize_bilinear(x, size, Corners::Aligned)?.flatten_from(2)?.mean(2)?);
        let want = composed(&x).unwrap();
        assert_close("mean", &resized_mean(&x, size).unwrap(), &want, 1e-13).unwrap();
        let (got, slope) = (gradient(&x, |x| resized_mean(x, size)), gradient(&x, composed));
        assert_close("gradient", &tensor(&got, &dims), &tensor(&slope, &dims), 1e-13).unwrap();
        let half = x.to_dtype(DType::F16).unwrap();
        let got = resized_mean(&half, size).unwrap();
        assert_eq!(got.dtype(), DType::F16);
        assert_close("half", &got, &want, 1e-2).unwrap();
    }
}

#[test]
fn wrong_sizes_are_errors() {
    let x = randn(0, &[1, 2, 3, 3]).unwrap();
    assert!(resized_mean(&x, (0, 3)).unwrap_err().to_string().contains("3x3 to 0x3"));
    assert!(resized_mean(&x.squeeze(0).unwrap(), (3, 3)).is_err());
}

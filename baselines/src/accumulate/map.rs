//! [`AttentionMap`]: one class of one image in 8 bits.

use candle_wsss::Error;

use crate::error::Result;

/// Keeps the divisor from 0. The released code's constant.
pub(super) const EPSILON: f32 = 1e-8;

/// A map of one class of one image, 255 where it is strongest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionMap {
    /// Cells of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width` values, row by row.
    pub data: Vec<u8>,
}

impl AttentionMap {
    /// A raw map of the network, `(height, width)` row-major, in 8 bits.
    ///
    /// ```text
    /// a = round(255 [map]+ / (max [map]+ + 1e-8))         halves to even
    /// ```
    ///
    /// # Errors
    /// When there are not `width * height` values, or one is not a number.
    ///
    /// # Reference
    /// RCA, `models/rca.py`.
    ///
    /// ```
    /// use candle_wsss_baselines::accumulate::AttentionMap;
    ///
    /// assert_eq!(AttentionMap::from_activation(&[-1.0, 1.0, 2.0, 4.0], 2, 2)?.data, [0, 64, 128, 255]);
    /// assert_eq!(AttentionMap::from_activation(&[-1.0, 0.0], 2, 1)?.data, [0, 0]);
    /// assert!(AttentionMap::from_activation(&[f32::NAN], 1, 1).is_err());
    /// # Ok::<(), candle_wsss_baselines::Error>(())
    /// ```
    pub fn from_activation(map: &[f32], width: usize, height: usize) -> Result<Self> {
        if map.len() != width * height {
            let reason = format!("expected {width} x {height} values, got {}", map.len());
            return Err(Error::value("attention map", reason).into());
        }
        if let Some(value) = map.iter().find(|value| !value.is_finite()) {
            return Err(Error::value("attention map", format!("must be finite, one value is {value}")).into());
        }
        let peak = map.iter().fold(0f32, |peak, value| peak.max(*value));
        // At most 255: the divisor is not below the largest value.
        let byte = |value: &f32| (value.max(0.0) / (peak + EPSILON) * 255.0).round_ties_even() as u8;
        Ok(Self { width, height, data: map.iter().map(byte).collect() })
    }

    /// Takes over what is larger in `other`; says whether that changed anything.
    ///
    /// # Errors
    /// When the sizes differ; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<bool> {
        if (self.width, self.height) != (other.width, other.height) {
            let reason = format!(
                "expected {} x {} (width x height), got {} x {}",
                other.width, other.height, self.width, self.height
            );
            return Err(Error::value("attention map", reason).into());
        }
        let mut changed = false;
        for (own, other) in self.data.iter_mut().zip(&other.data) {
            changed |= *other > *own;
            *own = (*own).max(*other);
        }
        Ok(changed)
    }
}

//! From the maps of several runs of the network to one score per pixel and class: pure arithmetic, no network.

use candle_core::{DType, Tensor, WithDType};
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::{Error, error::expect_shape};

use crate::error::Result;
use crate::infer::config::MapSource;

/// Keeps the divisor from 0, and suppresses what is within it of the minimum. The released code's constant.
const EPSILON: f64 = 1e-5;

/// What the network made of one version of the image.
#[derive(Clone, Debug)]
pub struct NetworkMap {
    /// `(1, num_classes, h, w)`, background last: refined maps, or raw ones for [`MapSource::Softmax`].
    pub map: Tensor,
    /// Whether the image was mirrored.
    pub flipped: bool,
}

/// Sums the maps of `classes` over all versions of the image, at the image's size `(height, width)`.
///
/// Mirrored maps are mirrored back. Maps of one size are summed before they are resized, which is the same, resizing
/// being linear. PyTorch: `F.interpolate(map, size, mode="bilinear", align_corners=False)`.
///
/// Returns `(classes, height, width)`.
///
/// # Errors
/// When there is no map or class, a map has another shape, or a class is not below its number of foreground classes.
pub fn sum_maps(
    maps: &[NetworkMap],
    classes: &[usize],
    (height, width): (usize, usize),
    source: MapSource,
) -> Result<Tensor> {
    let mut grids = GridSums::new(classes, source);
    maps.iter().try_for_each(|map| grids.add(map))?;
    sum_resized(&grids.finish()?, (height, width))
}

/// Sums of the maps of some classes, one for every size that occurs, mirrored ones mirrored back.
pub(super) struct GridSums<'a> {
    classes: &'a [usize],
    source: MapSource,
    // In the order the sizes first appear.
    sums: Vec<Tensor>,
}

impl<'a> GridSums<'a> {
    pub(super) fn new(classes: &'a [usize], source: MapSource) -> Self {
        Self { classes, source, sums: Vec::new() }
    }

    /// Adds the map of one version of the image.
    pub(super) fn add(&mut self, NetworkMap { map, flipped }: &NetworkMap) -> Result<()> {
        let channels = self.sums.first().map_or(map.dims().get(1).copied().unwrap_or(0), |_| map.dims()[1]);
        expect_shape("network map", map, [1.into(), channels.into(), "h".into(), "w".into()])?;
        if self.classes.is_empty() || self.classes.iter().any(|class| class + 1 >= channels) {
            let limit = channels.saturating_sub(1);
            let reason = format!("must be below {limit} and not empty, are {:?}", self.classes);
            return Err(Error::value("classes", reason).into());
        }
        // The soft-max sees all classes; only then may the absent ones go.
        let scores = match self.source {
            MapSource::Refined => map.clone(),
            MapSource::Softmax => candle_nn::ops::softmax(map, 1)?,
        };
        let index: Vec<u32> = self.classes.iter().filter_map(|class| u32::try_from(*class).ok()).collect();
        let scores = scores.index_select(&Tensor::new(index, map.device())?, 1)?;
        let scores = if *flipped { scores.flip(&[3])? } else { scores };
        match self.sums.iter_mut().find(|sum| sum.dims() == scores.dims()) {
            Some(sum) => *sum = (&*sum + scores)?,
            None => self.sums.push(scores),
        }
        Ok(())
    }

    /// The sums, `(1, classes, h, w)` each.
    pub(super) fn finish(self) -> Result<Vec<Tensor>> {
        if self.sums.is_empty() {
            return Err(Error::value("network maps", "there are none").into());
        }
        Ok(self.sums)
    }
}

/// The sum of maps `(1, classes, *, *)` at one size: `(classes, height, width)`.
pub(super) fn sum_resized(grids: &[Tensor], size: (usize, usize)) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for grid in grids {
        let resized = resize_bilinear(grid, size, Corners::HalfPixel)?;
        total = Some(match total {
            None => resized,
            Some(total) => (total + resized)?,
        });
    }
    let total = total.ok_or_else(|| Error::value("network maps", "there are none"))?;
    Ok(total.squeeze(0)?)
}

/// Brings summed maps `(classes, height, width)` to scores that a background score can be compared with.
///
/// With `r = max(sum, 0)`, `M` and `m` its largest and smallest value over the image and `e = 1e-5`:
///
/// - [`MapSource::Refined`]: `r' = 0 where r < m + e, else r`; score `(r' - m - e) / (M - m + e)`. Suppressed pixels come
///   out slightly negative, a map of zeros as -1: the released code subtracts after it suppresses.
/// - [`MapSource::Softmax`]: `sum / (max sum + e)`.
///
/// # Errors
/// When the shape is another, or the maps are neither float32 nor float64.
pub fn normalize_maps(sum: &Tensor, source: MapSource) -> Result<Tensor> {
    expect_shape("summed maps", sum, ["classes".into(), "height".into(), "width".into()])?;
    match sum.dtype() {
        DType::F64 => normalized::<f64>(sum, source),
        _ => normalized::<f32>(sum, source),
    }
}

fn normalized<T: WithDType>(sum: &Tensor, source: MapSource) -> Result<Tensor> {
    let mut values = sum.flatten_all()?.to_vec1::<T>()?;
    normalize(&mut values, sum.dim(1)? * sum.dim(2)?, source);
    Ok(Tensor::from_vec(values, sum.shape(), sum.device())?)
}

/// The same in place, on maps of so many pixels one after another. What is no number stays none.
pub(super) fn normalize<T: WithDType>(maps: &mut [T], pixels: usize, source: MapSource) {
    let (zero, epsilon) = (T::zero(), T::from_f64(EPSILON));
    for map in maps.chunks_mut(pixels.max(1)) {
        match source {
            MapSource::Refined => {
                // Values below 0 count as 0, so neither end can lie below it.
                let (smallest, largest) = extremes(map);
                let (smallest, largest) = (larger(smallest, zero), larger(largest, zero));
                let (floor, range) = (smallest + epsilon, largest - smallest + epsilon);
                for value in map {
                    let kept = if *value < floor { zero } else { *value };
                    *value = (kept - smallest - epsilon) / range;
                }
            }
            MapSource::Softmax => {
                let divisor = extremes(map).1 + epsilon;
                for value in map {
                    *value /= divisor;
                }
            }
        }
    }
}

fn larger<T: PartialOrd>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

/// Smallest and largest value.
fn extremes<T: WithDType>(map: &[T]) -> (T, T) {
    let first = map.first().copied().unwrap_or_else(T::zero);
    map.iter().fold((first, first), |(smallest, largest), &value| {
        (if value < smallest { value } else { smallest }, if value > largest { value } else { largest })
    })
}

//! Equivariant regularization of two views' maps, from the maps as the network makes them.

mod aligned;
mod cpu;
mod device;
mod targets;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::kernel::{apply2, detached2};
use super::precomputed::{Precomputed, computable};
use crate::error::{Error, Result, expect_shape};
use crate::label::ImageLabels;
use crate::view::Pair;

/// Which channels compete when a map is made one-hot, for the targets of the equivariant cross regularization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OneHotChannels {
    /// The foreground, and the background stays as it is. What SEAM's code does, which has the background first.
    #[default]
    Foreground,
    /// All but the first channel, which stays as it is. The released code of HSC and of PPC on EPS kept SEAM's slice
    /// though its background is last: the first foreground class is never suppressed, and the background competes.
    SkipFirst,
}

/// The maps of one view, and the size they are normalised at.
#[derive(Clone, Copy, Debug)]
pub struct ComparedMaps<'a> {
    /// `(N, num_classes, h, w)`: raw class activation maps.
    pub cam: &'a Tensor,
    /// `(N, num_classes, h, w)`: the same, refined.
    pub refined: &'a Tensor,
    /// Height and width the maps are enlarged to before anything else; the maps' own size for nothing of it.
    pub size: (usize, usize),
}

/// How the maps of two views are compared.
#[derive(Clone, Copy, Debug)]
pub struct EquivarianceOptions {
    /// Which channels compete for being the target.
    pub one_hot_channels: OneHotChannels,
    /// Share of the largest differences that count in the cross regularization, in `(0, 1]`.
    pub ecr_fraction: f64,
    /// Added to the denominators of the normalisation, positive.
    pub epsilon: f64,
}

/// Results of [`equivariance`], scalars.
#[derive(Clone, Debug)]
pub struct EquivarianceTerms {
    /// Equivariant regularization.
    pub er: Tensor,
    /// Equivariant cross regularization, both directions added; `None` where no entry counts.
    pub ecr: Option<Tensor>,
}

/// Both equivariance terms of a step. Background last.
///
/// ```text
/// norm(x) = relu(r - m - ε) / (M - m + ε),   r = relu(x),  M, m = max r, min r over the plane
/// A(x) = resize(norm(enlarge(x))) L          enlarged to the size of its view, resized to that of the target view
/// a, b = A(cam_1), A(cam_2)                  p, q = A(refined_1), A(refined_2)
/// er   = mean |a - b|                        over images, foreground channels and pixels
/// ecr  = top(|one_hot(b) - p|) + top(|one_hot(a) - q|)
/// ```
///
/// `L` is the label vector, 1 for the background. `one_hot` replaces the background by 1 minus the largest foreground
/// value and then sets all but the strongest of the competing channels to 0 (ties stay); it passes no gradient. `top` is
/// the mean over images of the mean of the `⌊num_classes h w fraction⌋` largest entries of an image, of equal ones those
/// with the lowest index. Both resizes are bilinear with aligned corners. The numbers are those of the composition of
/// [`super::resize_bilinear`], [`super::max_norm`] and [`super::top_k`], up to the rounding of sums.
///
/// No map is ever there at the size of an image: extrema are searched row by row, and samples are evaluated where the
/// smaller view looks. Absent classes cost nothing, since all their entries are 0. The gradients by the maps are found in
/// the same pass when any of the maps wants one, and are all that is kept until backward: as many bytes as the four maps.
///
/// # Shapes
/// `cam` and `refined` of a view are of one shape; heights and widths of the views may differ.
///
/// # Errors
/// When the shapes do not fit the labels or each other, a size is 0 or an option is out of its range.
///
/// # Reference
/// SEAM (CVPR 2020), equations 4 and 5; `train_SEAM.py`.
pub fn equivariance(
    maps: Pair<ComparedMaps<'_>>,
    labels: &ImageLabels,
    options: &EquivarianceOptions,
) -> Result<EquivarianceTerms> {
    maps.try_map(|view| check(&view, labels))?;
    check_options(options)?;
    let dtype = maps.source.cam.dtype();
    let cam = maps.try_map(|view| computable(view.cam))?;
    let refined = maps.try_map(|view| computable(view.refined))?;
    let sizes = maps.map(|view| view.size);
    // The product is a float64 cut to an integer, as in the released code.
    let entries = (labels.layout().num_classes() * sizes.target.0 * sizes.target.1) as f64;
    let kernel = Equivariance {
        refined: refined.as_ref().map(Tensor::detach),
        sizes,
        present: (0..labels.len()).map(|image| labels.of_image(image).to_vec()).collect(),
        mask: labels.multi_hot().to_dtype(DType::F32)?.contiguous()?,
        channels: options.one_hot_channels,
        largest: (entries * options.ecr_fraction) as usize,
        epsilon: options.epsilon,
        with_gradients: [&cam, &refined].iter().any(|maps| maps.source.track_op() || maps.target.track_op()),
    };
    let has_cross = kernel.largest > 0;
    let packed = Packed { with_gradients: kernel.with_gradients, values: detached2(kernel, &cam.source, &cam.target)? };
    let er = packed.term(0, &cam, Equivariance::TERMS)?.to_dtype(dtype)?;
    let behind = Equivariance::TERMS + cam.source.elem_count() + cam.target.elem_count();
    let ecr = has_cross.then(|| packed.term(1, &refined, behind)?.to_dtype(dtype)).transpose()?;
    Ok(EquivarianceTerms { er, ecr })
}

/// Both terms of a step and, behind them, their gradients.
///
/// Inputs are the raw maps of both views. The result is one row: the two terms, then, if `with_gradients`, the gradients
/// by both raw and both refined maps.
struct Equivariance {
    refined: Pair<Tensor>,
    sizes: Pair<(usize, usize)>,
    /// Foreground classes of every image, ascending.
    present: Vec<Vec<usize>>,
    /// `(N, num_foreground)` of float32, ones where the image has the class: the same for devices.
    mask: Tensor,
    channels: OneHotChannels,
    /// Entries of an image that count in the cross regularization; 0 leaves it out.
    largest: usize,
    epsilon: f64,
    with_gradients: bool,
}

impl Equivariance {
    /// Terms ahead of the gradients.
    const TERMS: usize = 2;
}

struct Packed {
    values: Tensor,
    with_gradients: bool,
}

impl Packed {
    /// One of the terms, tied to the two maps whose gradients begin at `start`.
    fn term(&self, index: usize, maps: &Pair<Tensor>, start: usize) -> Result<Tensor> {
        let value = self.values.narrow(0, index, 1)?.squeeze(0)?;
        if !self.with_gradients {
            return Ok(value);
        }
        let gradient =
            |start, map: &Tensor| Ok::<_, Error>(self.values.narrow(0, start, map.elem_count())?.reshape(map.shape())?);
        let gradients = [gradient(start, &maps.source)?, gradient(start + maps.source.elem_count(), &maps.target)?];
        Ok(apply2(Precomputed { value, gradients }, &maps.source, &maps.target)?)
    }
}

fn check(view: &ComparedMaps<'_>, labels: &ImageLabels) -> Result<()> {
    let (n, classes) = (labels.len(), labels.layout().num_classes());
    expect_shape("cam", view.cam, [n.into(), classes.into(), "h".into(), "w".into()])?;
    let (_, _, h, w) = view.cam.dims4()?;
    expect_shape("refined cam", view.refined, [n.into(), classes.into(), h.into(), w.into()])?;
    let (height, width) = view.size;
    if n == 0 || [h, w, height, width].contains(&0) {
        let reason = format!("expected images, and sizes above 0, got {n} of {h}x{w} to {height}x{width}");
        return Err(Error::value("maps of the equivariant regularization", reason));
    }
    Ok(())
}

fn check_options(options: &EquivarianceOptions) -> Result<()> {
    let EquivarianceOptions { ecr_fraction, epsilon, .. } = options;
    if !(*ecr_fraction > 0.0 && *ecr_fraction <= 1.0) {
        return Err(Error::value("ecr_fraction", format!("must be above 0 and at most 1, is {ecr_fraction}")));
    }
    if !(*epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Error::value("epsilon", format!("must be positive, is {epsilon}")));
    }
    Ok(())
}

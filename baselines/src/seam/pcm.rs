//! The pixel correlation module: class activation maps spread to pixels that look alike.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_wsss::error::expect_shape;
use candle_wsss::ops::{self, Corners};
use candle_wsss::{ClassLayout, Result};

use super::config::PcmConfig;
use crate::backbone::{BackboneConfig, Conv, ConvShape, Taps};

/// The module with its three projections, `f8_3`, `f8_4` and `f9` in the released code.
#[derive(Clone, Debug)]
pub struct PcmHead {
    f8_3: Conv,
    f8_4: Conv,
    f9: Conv,
    epsilon: f64,
}

impl PcmHead {
    /// On the taps of a trunk; its channels are divided as the trunk's are.
    ///
    /// # Errors
    /// When a parameter has another shape.
    pub fn new(config: &PcmConfig, backbone: &BackboneConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let [low_in, high_in, _] = backbone.spec().channels;
        let at = |channels: usize| backbone.scaled(channels);
        let (low, high, correlation) =
            (at(config.low_channels), at(config.high_channels), at(config.correlation_channels));
        let joined = IMAGE_CHANNELS + low + high;
        let conv =
            |input, output, init, name: &str| Conv::with_init(ConvShape::pointwise(input, output), init, &vb.pp(name));
        Ok(Self {
            f8_3: conv(low_in, low, KAIMING, "f8_3")?,
            f8_4: conv(high_in, high, KAIMING, "f8_4")?,
            f9: conv(joined, correlation, xavier(joined, correlation, F9_GAIN), "f9")?,
            epsilon: config.epsilon,
        })
    }

    /// Whether a parameter is one of the module's, by its name below the network's scope.
    pub fn owns(name: &str) -> bool {
        matches!(name.split('.').next(), Some("f8_3" | "f8_4" | "f9"))
    }

    /// The maps `cam (N, num_classes, h, w)`, spread over the pixels of `image` that look alike to the trunk.
    ///
    /// The module learns from what it makes of the maps, the trunk does not: everything that goes in is cut off.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, image: &Tensor, taps: &Taps, cam: &Tensor, layout: ClassLayout) -> Result<Tensor> {
        let (_, _, h, w) = taps.last.dims4()?;
        let at_grid = |map: &Tensor| ops::resize_bilinear(map, (h, w), Corners::Aligned);
        let low = ops::relu(&at_grid(&self.f8_3.forward(&taps.low.detach())?)?)?;
        let high = ops::relu(&at_grid(&self.f8_4.forward(&taps.high.detach())?)?)?;
        let features = self.f9.forward(&Tensor::cat(&[at_grid(image)?, low, high], 1)?)?;
        refine(&normalized_seeds(cam, layout, self.epsilon)?, &features, self.epsilon)
    }
}

const IMAGE_CHANNELS: usize = 3;

const F9_GAIN: f64 = 4.0;

const KAIMING: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity: NonLinearity::ReLU };

/// Uniform within `gain * sqrt(6 / (fan_in + fan_out))`, of a 1x1 convolution.
pub(crate) fn xavier(input: usize, output: usize, gain: f64) -> Init {
    let bound = gain * (6.0 / (input + output) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// What the module spreads: the maps divided by their maxima, only the strongest foreground class kept at each pixel.
/// No gradient.
///
/// ```text
/// y_c  = [[cam_c]+ - ε]+ / (max_pixels [cam_c]+ + ε)
/// y_bg = 1 - max_foreground y
/// y_c  = 0 where y_c < max_foreground y          (foreground only, ties stay)
/// ```
///
/// # Shapes
/// `(N, num_classes, h, w)` in and out, background last.
///
/// # Errors
/// When the shape is another.
///
/// # Reference
/// SEAM, `network/resnet38_SEAM.py`, `Net.forward`.
pub fn normalized_seeds(cam: &Tensor, layout: ClassLayout, epsilon: f64) -> Result<Tensor> {
    expect_shape("cam", cam, ["N".into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    let rectified = ops::relu(&cam.detach())?;
    let peak = rectified.flatten(2, 3)?.max_keepdim(2)?.unsqueeze(3)?;
    let scaled = ops::relu(&(rectified - epsilon)?)?.broadcast_div(&(peak + epsilon)?)?;
    let foreground = scaled.narrow(1, 0, layout.num_foreground())?;
    let strongest = foreground.max_keepdim(1)?;
    let background = (1.0 - &strongest)?;
    let is_strongest = foreground.broadcast_ge(&strongest)?.to_dtype(foreground.dtype())?;
    Ok(Tensor::cat(&[(foreground * is_strongest)?, background], 1)?)
}

/// How alike two pixels are: the positive part of the cosine of their features.
///
/// ```text
/// z = f / (||f|| + ε),   A_ij = [z_i · z_j]+
/// ```
///
/// # Shapes
/// `(N, d, h, w)` to `(N, h*w, h*w)`.
///
/// # Errors
/// When the features are not maps.
pub fn affinity(features: &Tensor, epsilon: f64) -> Result<Tensor> {
    expect_shape("features", features, ["N".into(), "d".into(), "h".into(), "w".into()])?;
    dense_affinity(&unit_features(features, epsilon)?)
}

// (N, d, h, w) to (N, d, h*w)
fn unit_features(features: &Tensor, epsilon: f64) -> Result<Tensor> {
    ops::unit_added(&features.flatten(2, 3)?, 1, epsilon)
}

fn dense_affinity(unit: &Tensor) -> Result<Tensor> {
    // Contiguous, because candle's batched product of a transposed matrix is not to be trusted.
    let transposed = unit.transpose(1, 2)?.contiguous()?;
    ops::relu(&transposed.matmul(unit)?)
}

/// Spreads maps over pixels with like features.
///
/// ```text
/// out_j = Σ_i cam_i A_ij / (Σ_i A_ij + ε)
/// ```
///
/// The affinity matrix is never there as a whole, with a gradient or without: [`ops::affinity_mean`].
///
/// # Shapes
/// `cam (N, c, *, *)`, resized to the grid of the features if it is another (bilinear, aligned corners);
/// `features (N, d, h, w)`; result `(N, c, h, w)`.
///
/// # Errors
/// When the shapes do not fit.
///
/// # Reference
/// SEAM, `network/resnet38_SEAM.py`, `Net.PCM`, after its convolution `f9`.
pub fn refine(cam: &Tensor, features: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (n, _, h, w) = features.dims4()?;
    expect_shape("cam", cam, [n.into(), "c".into(), "h".into(), "w".into()])?;
    let classes = cam.dim(1)?;
    let cam = ops::resize_bilinear(cam, (h, w), Corners::Aligned)?.flatten(2, 3)?; // (N, c, h*w)
    let unit = unit_features(features, epsilon)?;
    Ok(ops::affinity_mean(&cam, &unit, epsilon)?.reshape((n, classes, h, w))?)
}

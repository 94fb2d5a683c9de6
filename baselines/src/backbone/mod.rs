//! Trunks: from an image to the feature maps the baselines classify.
//!
//! Every trunk is a [`Backbone`]; [`BackboneConfig`] names one in a configuration file. Parameters have the names of the
//! released PyTorch networks, so their weights load as they are.

mod batch_norm;
mod block;
mod check;
mod config;
mod layers;
mod mobilenet_v2;
mod pretrained;
mod resnet38d;
mod resnet50;
mod squeezenet;
mod vgg16;

pub use batch_norm::BatchNormMode;
pub(crate) use check::is_too_small;
pub use config::BackboneConfig;
pub(crate) use layers::{Conv, ConvShape, check_dropout, dropout2d};
pub use mobilenet_v2::{MobileNetV2, MobileNetV2Config};
pub use pretrained::load_pretrained;
pub use resnet38d::{ResNet38d, ResNet38dConfig};
pub use resnet50::{ResNet50, ResNet50Config};
pub use squeezenet::{SqueezeNet, SqueezeNetConfig};
pub use vgg16::{Vgg16, Vgg16Config};

use candle_core::Tensor;
use candle_wsss::{Result, Sampler};

/// A parameter's name below the scope of the network that has it; as it is where it lies elsewhere.
pub(crate) fn below<'a>(scope: &str, name: &'a str) -> &'a str {
    match scope {
        "" => name,
        scope => name.strip_prefix(scope).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name),
    }
}

/// What the layers on top of a trunk must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneSpec {
    /// Pixels of the image per cell of the last map.
    pub stride: usize,
    /// Channels of [`Taps::low`], [`Taps::high`] and [`Taps::last`].
    pub channels: [usize; 3],
}

/// Feature maps of a trunk. The first two may be finer than the last.
#[derive(Clone, Debug)]
pub struct Taps {
    /// `(N, channels[0], *, *)`: fine, early features.
    pub low: Tensor,
    /// `(N, channels[1], *, *)`: in between.
    pub high: Tensor,
    /// `(N, channels[2], h, w)`: the trunk's output, which is classified.
    pub last: Tensor,
}

/// A trunk.
pub trait Backbone: std::fmt::Debug + Send + Sync {
    /// Stride and channels.
    fn spec(&self) -> &BackboneSpec;

    /// Runs the trunk on `(N, 3, H, W)` images: for training when there is a sampler, which dropout draws from.
    ///
    /// # Errors
    /// When the shape is another, or a replayed sampler has no fitting draw.
    fn forward(&self, image: &Tensor, sampler: Option<&dyn Sampler>) -> Result<Taps>;
}

//! Trunks: from an image to the feature maps the baselines classify.

mod block;
mod layers;
mod resnet38d;

pub(crate) use layers::{Conv, ConvShape, check_dropout, dropout2d};
pub use resnet38d::{BatchNormMode, ResNet38d, ResNet38dConfig, Taps};

//! VGG16 against the trunk of the released RCA, at full width.

use candle_core::DType;
use candle_wsss_baselines::backbone::{Backbone, Vgg16, Vgg16Config};

use super::{builder, check_channels, image, parameters};
use crate::fixture::Fixture;
use crate::support::spatial_mean;

/// Float32 on both sides.
const TENSOR: f64 = 2e-5;

#[test]
fn features_are_those_of_the_released_rca() {
    for f in Fixture::with_prefix("net_rca") {
        let vars = parameters(&f, DType::F32, |name| name.starts_with("features."));
        let trunk = Vgg16::new(&Vgg16Config::default(), builder(&vars, DType::F32)).unwrap();
        let last = trunk.forward(&image(&f), None).unwrap().last;
        f.check("feat_channel_mean", &spatial_mean(&last), TENSOR);
        check_channels(&f, "feat_ch0_", &last, TENSOR);
    }
}

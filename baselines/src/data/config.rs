//! Settings of the loader.

use candle_wsss::Normalization;
use serde::{Deserialize, Serialize};

use crate::data::jitter::Jitter;
use crate::data::resample::{Filter, PassOrder};
use crate::error::Result;

/// How training images are augmented and batched. The default is SEAM's recipe for VOC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Images of a batch, at least 1; 8 in the released code.
    pub batch_size: usize,
    /// To what images are resized.
    pub resize: ResizeMode,
    /// Smallest and largest longer side an image is resized to, pixels; 448 and 768 in the released code. Without
    /// effect where `resize` is `square`.
    pub long_side: [usize; 2],
    /// Side of the square crop, pixels; 448 in the released code.
    pub crop: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// How images and saliency maps are resized.
    pub resampling: Resampling,
    /// Colour jitter; `None` for no change of colours. In a configuration file `jitter = false` is `None`.
    #[serde(with = "optional_jitter")]
    pub jitter: Option<Jitter>,
    /// Size of the target view.
    pub target_view: TargetView,
    /// Whether batches have saliency maps. Every image needs one then.
    pub saliency: bool,
    /// Whether every epoch has its own order; otherwise it is that of the list, as in the released RCA.
    pub shuffle: bool,
    /// Batches made ahead, each by a thread of its own; 0 makes each when it is asked for. Changes no value.
    pub prefetch: usize,
    /// What is subtracted and divided by; ImageNet's constants in the released code.
    pub normalization: Normalization,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 8,
            resize: ResizeMode::LongSide,
            long_side: [448, 768],
            crop: 448,
            flip: true,
            resampling: Resampling::default(),
            jitter: Some(Jitter::default()),
            target_view: TargetView::Scale(0.3),
            saliency: false,
            shuffle: true,
            prefetch: 4,
            normalization: Normalization::IMAGENET,
        }
    }
}

/// To what images are resized before the crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// The longer side to a random length, the shorter one in proportion. SEAM and EPS.
    #[default]
    LongSide,
    /// Both sides to the side of the crop, whatever the shape was: nothing is cut off, nothing left over. RCA.
    Square,
}

/// How images and saliency maps are resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resampling {
    /// How neighbours of an image are weighted; bicubic in the released SEAM and EPS, bilinear in the released RCA.
    pub image: Filter,
    /// How neighbours of a saliency map are weighted; bicubic in the released code.
    pub saliency: Filter,
    /// Which direction is resized first.
    pub pass_order: PassOrder,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { image: Filter::Bicubic, saliency: Filter::Bicubic, pass_order: PassOrder::RowsFirst }
    }
}

/// Size of the target view: the source view, resized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetView {
    /// `floor(scale * crop)` pixels. SEAM has 0.3.
    Scale(f64),
    /// So many pixels. PPC and HSC have 128.
    Size(usize),
}

impl TargetView {
    /// Side of the target view, pixels.
    pub fn side(self, crop: usize) -> usize {
        match self {
            Self::Scale(scale) => (scale * crop as f64).floor() as usize,
            Self::Size(size) => size,
        }
    }
}

impl LoaderConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Naming the field out of its range.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, reason: String| Err(candle_wsss::Error::config(field, reason).into());
        if self.batch_size == 0 {
            return bad("batch_size", "must be at least 1, is 0".to_string());
        }
        let [low, high] = self.long_side;
        if low == 0 || low > high {
            return bad("long_side", format!("must be two sides, the smaller first, at least 1; is [{low}, {high}]"));
        }
        if self.crop == 0 {
            return bad("crop", "must be at least 1, is 0".to_string());
        }
        if let TargetView::Scale(scale) = self.target_view
            && !(scale.is_finite() && scale > 0.0)
        {
            return bad("target_view.scale", format!("must be positive, is {scale}"));
        }
        if self.target_view.side(self.crop) == 0 {
            let reason = format!("leaves no pixel of a crop of {}: {:?}", self.crop, self.target_view);
            return bad("target_view", reason);
        }
        let Normalization { mean, std } = self.normalization;
        if !mean.iter().all(|value| value.is_finite()) {
            return bad("normalization.mean", format!("must be finite, is {mean:?}"));
        }
        if !std.iter().all(|value| value.is_finite() && *value > 0.0) {
            return bad("normalization.std", format!("must be positive, is {std:?}"));
        }
        self.jitter.as_ref().map_or(Ok(()), Jitter::validate)
    }
}

/// `false` for none, a table for some: TOML has no null, and a missing key means the default.
mod optional_jitter {
    use std::fmt;

    use serde::de::value::MapAccessDeserializer;
    use serde::de::{Error, MapAccess, Visitor};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Jitter;

    pub(super) fn serialize<S: Serializer>(jitter: &Option<Jitter>, serializer: S) -> Result<S::Ok, S::Error> {
        match jitter {
            None => serializer.serialize_bool(false),
            Some(jitter) => jitter.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Jitter>, D::Error> {
        deserializer.deserialize_any(FalseOrTable)
    }

    struct FalseOrTable;

    impl<'de> Visitor<'de> for FalseOrTable {
        type Value = Option<Jitter>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`false` or a table with brightness, contrast, saturation, hue")
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok(value.then(Jitter::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Jitter::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
}

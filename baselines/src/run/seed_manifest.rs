//! [`SeedManifest`]: what the seeds in a folder were made with, so that nothing else is added to them.

use std::path::Path;

use candle_wsss::Normalization;
use serde::{Deserialize, Serialize};

use crate::accumulate::AttentionInfo;
use crate::config::RunConfig;
use crate::crf::CrfConfig;
use crate::data::ImageSet;
use crate::error::Result;
use crate::infer::InferConfig;
use crate::run::manifest::{checksum, checksum_of_list, open_with};
use crate::run::seed_job::{SEED_MANIFEST, SeedOutputs};
use crate::train::checkpoint::CheckpointInfo;

const FORMAT: &str = "candle-wsss-seeds/1";

/// Everything that decides what a folder of seeds holds. Not where anything is, nor how the work was divided: shards and
/// resumed runs write the same manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedManifest {
    format: String,
    /// Checksum of the checkpoint's file.
    checkpoint: String,
    /// Optimizer steps behind it.
    step: usize,
    /// Seed of its training.
    seed: u64,
    classes: Vec<String>,
    split: String,
    images: usize,
    /// Checksum of the names and image-level labels, in their order.
    list: String,
    normalization: Normalization,
    /// Whether the network learned from saliency maps, which no image-level label is.
    uses_saliency: bool,
    infer: InferConfig,
    /// Where accumulated attention took the place of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<AttentionInfo>,
    arrays: bool,
    /// Of the PNG files, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    background_score: Option<f64>,
    /// Of the refined masks, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    crf: Option<CrfConfig>,
}

/// Where seeds come from.
#[derive(Clone, Debug)]
pub struct SeedOrigin<'a> {
    /// The bytes of the checkpoint.
    pub checkpoint: &'a [u8],
    /// What it says of itself.
    pub info: &'a CheckpointInfo,
    /// Its configuration, with what was changed about inference.
    pub config: &'a RunConfig,
    /// Accumulated attention that the seeds are made of instead of running the network.
    pub attention: Option<AttentionInfo>,
}

impl SeedManifest {
    /// Of the seeds of a part of a data set.
    pub fn new(
        origin: &SeedOrigin<'_>,
        images: &ImageSet,
        split: &str,
        outputs: &SeedOutputs,
        background_score: f64,
    ) -> Self {
        Self {
            format: FORMAT.to_string(),
            checkpoint: checksum(origin.checkpoint),
            step: origin.info.step,
            seed: origin.info.seed,
            classes: origin.info.classes.clone(),
            split: split.to_string(),
            images: images.len(),
            list: checksum_of_list(images),
            normalization: origin.config.loader.normalization,
            uses_saliency: origin.config.loader.saliency,
            infer: origin.config.infer.clone(),
            attention: origin.attention,
            arrays: outputs.arrays,
            background_score: outputs.png.then_some(background_score),
            crf: outputs.masks.clone(),
        }
    }

    /// Makes `folder` one of these seeds: writes the manifest where there is none, compares where there is one. Says
    /// whether it wrote.
    ///
    /// A folder with a manifest is taken with `joins` only: to resume, or because other shards write there too. Whoever
    /// comes at the same time finds the whole manifest or writes it.
    ///
    /// # Errors
    /// [`OutputExists`](crate::Error::OutputExists) where the folder may not be taken, and naming the first field that differs.
    pub fn open(&self, folder: &Path, joins: bool) -> Result<bool> {
        open_with(folder, SEED_MANIFEST, self, "seeds", joins)
    }
}

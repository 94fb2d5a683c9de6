//! [`SeedManifest`]: what the seeds in a folder were made with, so that nothing else is added to them.

use std::fmt::Write;
use std::path::Path;

use candle_wsss::Normalization;
use serde::{Deserialize, Serialize};

use crate::accumulate::AttentionInfo;
use crate::config::RunConfig;
use crate::crf::CrfConfig;
use crate::data::{ImageSet, UNFINISHED, write_atomic_new};
use crate::error::{Error, Result};
use crate::infer::InferConfig;
use crate::run::folder::another_run;
use crate::run::seed_job::{SEED_MANIFEST, SeedOutputs};
use crate::settings;
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
            list: checksum(list(images).as_bytes()),
            normalization: origin.config.loader.normalization,
            infer: origin.config.infer.clone(),
            attention: origin.attention,
            arrays: outputs.arrays,
            background_score: outputs.png.then_some(background_score),
            crf: outputs.masks.clone(),
        }
    }

    /// Makes `folder` one of these seeds: writes the manifest where there is none, compares where there is one.
    ///
    /// A folder with a manifest is taken with `joins` only: to resume, or because other shards write there too. Whoever
    /// comes at the same time finds the whole manifest or writes it.
    ///
    /// # Errors
    /// [`Error::OutputExists`] where the folder may not be taken, and naming the first field that differs.
    pub fn open(&self, folder: &Path, joins: bool) -> Result<()> {
        let path = folder.join(SEED_MANIFEST);
        // In this order: a manifest that comes in between is seen.
        let (is_used, has_manifest) = (is_used(folder)?, path.exists());
        if is_used && !(has_manifest && joins) {
            return Err(Error::OutputExists(folder.to_path_buf()));
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let text = serde_json::to_string_pretty(self).map_err(|err| Error::data(&path, err.to_string()))? + "\n";
        if has_manifest || !write_atomic_new(&path, |file| file.write_all(text.as_bytes()))? {
            return self.expect_in(&path);
        }
        Ok(())
    }

    fn expect_in(&self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let there: Self = serde_json::from_str(&text)
            .map_err(|err| Error::data(path, format!("no manifest of seeds this program can read: {err}")))?;
        match settings::differences(&there.to_table()?, &self.to_table()?).into_iter().next() {
            None => Ok(()),
            Some((field, before, now)) => Err(another_run(path, &format!("`{field}`"), &before, &now)),
        }
    }

    fn to_table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self).map_err(|err| Error::Config(format!("manifest of seeds: {err}")))
    }
}

fn checksum(bytes: &[u8]) -> String {
    format!("crc32c {:08x}, {} bytes", crc32c::crc32c(bytes), bytes.len())
}

fn list(images: &ImageSet) -> String {
    let mut text = String::new();
    for index in 0..images.len() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {:?}", images.name(index), images.labels(index));
    }
    text
}

// Whether something is there that is no folder, or a folder with more in it than what is just being written.
fn is_used(folder: &Path) -> Result<bool> {
    if !folder.is_dir() {
        return Ok(folder.exists());
    }
    let mut entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    Ok(entries.any(|entry| !entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))))
}

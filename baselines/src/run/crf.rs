//! [`CrfJob`]: the seeds of a folder, refined into a folder of masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use crate::crf::CrfConfig;
use crate::data::{ImageSet, Mask, write_mask};
use crate::error::{Error, Result};
use crate::infer::read_seeds;
use crate::run::in_turn::{SpareThreads, for_each_in_turn};
use crate::run::manifest::{Prepared, checksum_of_list, open_with};
use crate::run::refinement::Refinement;
use crate::run::seed_job::{CRF_MANIFEST, SEED_MANIFEST, SEED_MASKS, array_path};
use crate::run::{Interrupt, Progress, Shard, seed_mask_path};

const FORMAT: &str = "candle-wsss-crf/1";

/// What decides the masks in a folder; not how the work was divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    split: String,
    images: usize,
    classes: Vec<String>,
    crf: CrfConfig,
    /// Checksum of the names and image-level labels, in their order.
    list: String,
    /// Where the seeds are, if their folder does not say what they were made with: it is all there is to tell by.
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<PathBuf>,
    /// What their folder says of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds_made_with: Option<serde_json::Value>,
}

/// Seeds to be refined.
#[derive(Clone, Debug)]
pub struct CrfJob<'a> {
    /// Folder of seeds.
    pub seeds: &'a Path,
    /// The images.
    pub images: &'a ImageSet,
    /// Name of their list, for the manifest.
    pub split: &'a str,
    /// Kernels, background and labels.
    pub config: CrfConfig,
    /// Folder to make: `masks/NAME.png` and `crf.json`.
    pub out: &'a Path,
    /// Images at once, at most as many as there are threads; as many as there are threads without it.
    pub jobs: Option<usize>,
    /// Which of the images; all without it.
    pub shard: Option<Shard>,
    /// Whether masks that are there are kept.
    pub resume: bool,
}

/// What came of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrfOutcome {
    /// Masks made.
    pub made: usize,
    /// Masks that were there.
    pub kept: usize,
    /// Pixels of the masks made, by palette index.
    pub pixels: BTreeMap<u8, u64>,
}

impl CrfJob<'_> {
    /// Refines them, several images at once.
    ///
    /// # Errors
    /// When the folder is there already or another job's, seeds or an image are missing or unreadable, sizes differ, a
    /// file cannot be written, or the user interrupts.
    pub fn run(&self, progress: &Progress, interrupt: &Interrupt) -> Result<CrfOutcome> {
        let indices: Vec<usize> = self.shard.unwrap_or_default().images(self.images.len()).collect();
        let refinement = Refinement::new(self.images, &self.config, &indices)?;
        self.expect_seeds(&indices)?;
        let mut prepared = Prepared::default();
        self.open(&indices, &mut prepared)?;
        let bar = progress.bar("crf", indices.len());
        let pixels = Mutex::new(BTreeMap::new());
        let kept = AtomicUsize::new(0);
        let written = for_each_in_turn(&indices, self.jobs.unwrap_or(usize::MAX), &SpareThreads::default(), |index| {
            if interrupt.asked() {
                let out = self.out.display();
                return Err(Error::Interrupted(format!("; masks finished by then are in {out}, see --resume")));
            }
            let name = self.images.name(index);
            let path = seed_mask_path(self.out, name);
            if self.resume && path.exists() {
                kept.fetch_add(1, Ordering::Relaxed);
            } else {
                let seeds = read_seeds(&array_path(self.seeds, name))?;
                let mask = refinement.mask(index, &self.images.image(index)?, &seeds)?;
                write_mask(&path, &mask)?;
                count(&mask, &pixels);
            }
            bar.inc(1);
            Ok(())
        });
        bar.finish_and_clear();
        if let Err(err) = written {
            // Other shards count on what is there, though it be empty.
            if self.shard.is_none() {
                prepared.discard(!self.masks(&indices).any(|path| path.exists()));
            }
            return Err(err);
        }
        let kept = kept.into_inner();
        let pixels = pixels.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(CrfOutcome { made: indices.len() - kept, kept, pixels })
    }

    fn masks(&self, indices: &[usize]) -> impl Iterator<Item = PathBuf> {
        indices.iter().map(|index| seed_mask_path(self.out, self.images.name(*index)))
    }

    // Before anything is written: a folder without the seeds of the last image should not be noticed after hours.
    fn expect_seeds(&self, indices: &[usize]) -> Result<()> {
        for &index in indices {
            let path = array_path(self.seeds, self.images.name(index));
            if !path.is_file() {
                let reason = format!("expected the seeds of image {}, there is no such file", self.images.name(index));
                return Err(Error::data(path, reason));
            }
        }
        Ok(())
    }

    fn open(&self, indices: &[usize], prepared: &mut Prepared) -> Result<()> {
        let manifest = self.manifest()?;
        prepared.folder(self.out)?;
        let joins = self.resume || self.shard.is_some();
        if open_with(self.out, CRF_MANIFEST, &manifest, "refined seeds", joins)? {
            prepared.manifest(self.out.join(CRF_MANIFEST));
        }
        // Other shards write here, but not these files.
        if let Some(path) = self.masks(indices).find(|path| !self.resume && path.exists()) {
            return Err(Error::OutputExists(path));
        }
        prepared.folder(&self.out.join(SEED_MASKS))
    }

    fn manifest(&self) -> Result<Manifest> {
        let path = self.seeds.join(SEED_MANIFEST);
        let seeds_made_with = if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
            Some(serde_json::from_str(&text).map_err(|err| Error::data(&path, format!("no JSON: {err}")))?)
        } else {
            None
        };
        let whole = || std::fs::canonicalize(self.seeds).map_err(Error::io(self.seeds));
        Ok(Manifest {
            format: FORMAT.to_string(),
            split: self.split.to_string(),
            images: self.images.len(),
            classes: self.images.class_names().to_vec(),
            crf: self.config.clone(),
            list: checksum_of_list(self.images),
            seeds: seeds_made_with.is_none().then(whole).transpose()?,
            seeds_made_with,
        })
    }
}

fn count(mask: &Mask, pixels: &Mutex<BTreeMap<u8, u64>>) {
    let mut own = [0u64; 256];
    for &label in &mask.data {
        own[usize::from(label)] += 1;
    }
    let mut pixels = pixels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (label, own) in (0..=u8::MAX).zip(own).filter(|(_, own)| *own > 0) {
        *pixels.entry(label).or_default() += own;
    }
}

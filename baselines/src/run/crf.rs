//! [`CrfJob`]: the seeds of a folder, refined into a folder of masks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::crf::{CrfConfig, SeedRefiner};
use crate::data::{ImageSet, Mask, write_atomic, write_mask};
use crate::error::{Error, Result};
use crate::infer::read_seeds;
use crate::run::folder::another_run;
use crate::run::seed_job::{CRF_MANIFEST, SEED_MANIFEST, SEED_MASKS, array_path};
use crate::run::{Interrupt, Progress, Shard, create_folder, seed_mask_path};
use crate::settings;

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
    /// The folder of the seeds, as it was given.
    seeds: String,
    /// What that folder says of itself.
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
    /// Images at once; as many as there are threads without it.
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
        let refiner = SeedRefiner::new(self.config.clone())?;
        let indices: Vec<usize> = match self.shard {
            None => (0..self.images.len()).collect(),
            Some(shard) => shard.images(self.images.len()).collect(),
        };
        self.expect_seeds(&indices)?;
        self.open(&indices)?;
        let bar = progress.bar("crf", indices.len());
        let pixels = Mutex::new(BTreeMap::new());
        let kept = AtomicUsize::new(0);
        let written = self.in_pool(|| {
            indices.par_iter().try_for_each(|&index| {
                if interrupt.asked() {
                    let out = self.out.display();
                    return Err(Error::Interrupted(format!("; masks finished by then are in {out}, see --resume")));
                }
                let path = seed_mask_path(self.out, self.images.name(index));
                if self.resume && path.exists() {
                    kept.fetch_add(1, Ordering::Relaxed);
                } else {
                    let mask = self.refine(&refiner, index)?;
                    write_mask(&path, &mask)?;
                    count(&mask, &pixels);
                }
                bar.inc(1);
                Ok(())
            })
        });
        bar.finish_and_clear();
        if let Err(err) = written.and_then(|written| written) {
            self.discard_empty();
            return Err(err);
        }
        let kept = kept.into_inner();
        let pixels = pixels.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(CrfOutcome { made: indices.len() - kept, kept, pixels })
    }

    fn in_pool<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Some(jobs) = self.jobs else { return Ok(work()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build();
        Ok(pool.map_err(|err| Error::Config(format!("--jobs: {jobs} threads cannot be started: {err}")))?.install(work))
    }

    // Before anything is written: a folder without the seeds of the last image should not be noticed after hours.
    fn expect_seeds(&self, indices: &[usize]) -> Result<()> {
        for &index in indices {
            let path = array_path(self.seeds, self.images.name(index));
            if !path.is_file() {
                let reason = format!("expected the seeds of image {}, there is no such file", self.images.name(index));
                return Err(Error::data(path, reason));
            }
            if self.config.needs_saliency() && !self.images.saliency_path(index).is_file() {
                let path = self.images.saliency_path(index);
                let reason = format!("expected the saliency map of image {}", self.images.name(index));
                return Err(Error::data(path, reason + ", there is no such file"));
            }
        }
        Ok(())
    }

    fn open(&self, indices: &[usize]) -> Result<()> {
        let (path, masks) = (self.out.join(CRF_MANIFEST), self.out.join(SEED_MASKS));
        let manifest = self.manifest()?;
        let joins = self.resume || self.shard.is_some();
        if joins && path.exists() {
            manifest.expect_in(&path)?;
            let there = indices.iter().map(|index| seed_mask_path(self.out, self.images.name(*index)));
            if let Some(path) = there.filter(|_| !self.resume).find(|path| path.exists()) {
                return Err(Error::OutputExists(path));
            }
        } else {
            create_folder(self.out)?;
            let text = serde_json::to_string_pretty(&manifest).map_err(|err| Error::data(&path, err.to_string()))?;
            write_atomic(&path, |file| writeln!(file, "{text}"))?;
        }
        std::fs::create_dir_all(&masks).map_err(Error::io(&masks))
    }

    fn manifest(&self) -> Result<Manifest> {
        let path = self.seeds.join(SEED_MANIFEST);
        let seeds_made_with = if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
            Some(serde_json::from_str(&text).map_err(|err| Error::data(&path, format!("no JSON: {err}")))?)
        } else {
            None
        };
        Ok(Manifest {
            format: FORMAT.to_string(),
            split: self.split.to_string(),
            images: self.images.len(),
            classes: self.images.class_names().to_vec(),
            crf: self.config.clone(),
            seeds: self.seeds.display().to_string(),
            seeds_made_with,
        })
    }

    fn refine(&self, refiner: &SeedRefiner, index: usize) -> Result<Mask> {
        let seeds = read_seeds(&array_path(self.seeds, self.images.name(index)))?;
        let image = self.images.image(index)?;
        let saliency = if self.config.needs_saliency() { self.images.saliency(index)? } else { None };
        refiner.mask(&image, &seeds, saliency.as_ref()).map_err(|err| match err {
            err @ Error::Core(_) => Error::data(self.images.name(index), err.to_string()),
            err => err,
        })
    }

    // A job that made nothing leaves nothing, unless other shards count on the folder.
    fn discard_empty(&self) {
        if self.shard.is_none() && std::fs::remove_dir(self.out.join(SEED_MASKS)).is_ok() {
            drop(std::fs::remove_file(self.out.join(CRF_MANIFEST)));
            drop(std::fs::remove_dir(self.out));
        }
    }
}

impl Manifest {
    fn expect_in(&self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let there: Self = serde_json::from_str(&text)
            .map_err(|err| Error::data(path, format!("no manifest of refined seeds this program can read: {err}")))?;
        match settings::differences(&there.to_table()?, &self.to_table()?).into_iter().next() {
            None => Ok(()),
            Some((field, before, now)) => Err(another_run(path, &format!("`{field}`"), &before, &now)),
        }
    }

    fn to_table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self).map_err(|err| Error::Config(format!("manifest of refined seeds: {err}")))
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

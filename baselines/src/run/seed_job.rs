//! [`SeedJob`]: the seeds of a list of images, written into a folder.

use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;

use crate::crf::CrfConfig;
use crate::data::{ImageSet, Mask, write_mask, write_npy_maps};
use crate::error::{Error, Result};
use crate::infer::{self, GridSeeds, Precision, SeedMaps};
use crate::run::in_turn::{SpareThreads, for_each_in_turn};
use crate::run::manifest::Prepared;
use crate::run::refinement::Refinement;
use crate::run::seed_manifest::SeedManifest;
use crate::run::{Interrupt, Progress, Shard};

/// Name of the file inside a folder of seeds that says what they were made with.
pub const SEED_MANIFEST: &str = "seeds.json";
/// Name of the file inside a folder of refined seeds that says what they were made with.
pub const CRF_MANIFEST: &str = "crf.json";
/// Name of the folder of compact arrays inside a folder of seeds.
pub const SEED_ARRAYS: &str = "arrays";
/// Name of the folder of label maps inside a folder of seeds.
pub const SEED_PNG: &str = "png";
/// Name of the folder of refined masks inside a folder of seeds, and of refined seeds.
pub const SEED_MASKS: &str = "masks";

/// Compact arrays of a seed folder.
pub fn array_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(SEED_ARRAYS).join(format!("{name}.safetensors"))
}

/// Palette PNG of a seed folder.
pub fn png_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(SEED_PNG).join(format!("{name}.png"))
}

/// Refined mask of a seed folder, a palette PNG too.
pub fn seed_mask_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(SEED_MASKS).join(format!("{name}.png"))
}

/// Where seeds go.
#[derive(Clone, Copy, Debug)]
pub struct SeedFolder<'a> {
    /// The folder, which is made if it is not there.
    pub path: &'a Path,
    /// Score of the background in the PNG files.
    pub background_score: f64,
    /// Whether files that are there are kept.
    pub resume: bool,
}

/// What is written of every image.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedOutputs {
    /// `arrays/NAME.safetensors`: what scores at every background score are made of.
    pub arrays: bool,
    /// `png/NAME.png`: labels at one background score.
    pub png: bool,
    /// `masks/NAME.png`: seeds refined by the colours of the image, by a CRF of these constants.
    pub masks: Option<CrfConfig>,
    /// `NAME.npy` in this folder, wherever it is: the scores as a dictionary of NumPy arrays, for other programs.
    pub npy: Option<PathBuf>,
}

impl Default for SeedOutputs {
    fn default() -> Self {
        Self { arrays: true, png: true, masks: None, npy: None }
    }
}

impl SeedOutputs {
    fn folders(&self) -> Vec<&'static str> {
        let asked = [(self.arrays, SEED_ARRAYS), (self.png, SEED_PNG), (self.masks.is_some(), SEED_MASKS)];
        asked.into_iter().filter_map(|(asked, folder)| asked.then_some(folder)).collect()
    }

    fn paths(&self, folder: &Path, name: &str) -> Vec<PathBuf> {
        let asked = [
            (self.arrays, array_path(folder, name)),
            (self.png, png_path(folder, name)),
            (self.masks.is_some(), seed_mask_path(folder, name)),
        ];
        let own = asked.into_iter().filter_map(|(asked, path)| asked.then_some(path));
        own.chain(self.npy.as_ref().map(|folder| npy_path(folder, name))).collect()
    }
}

fn npy_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.npy"))
}

/// The dictionary `{class: float32 array (height, width)}` that the next stages of released pipelines read.
fn write_npy(path: &Path, maps: &SeedMaps) -> Result<()> {
    let pixels = (maps.height() * maps.width()).max(1);
    let arrays = maps.classes().iter().zip(maps.maps().chunks_exact(pixels));
    let arrays: Vec<_> = arrays.map(|(class, map)| (*class, maps.height(), maps.width(), map)).collect();
    write_npy_maps(path, &arrays)
}

/// Seeds as they were made.
pub(crate) enum Seeds {
    /// By a network.
    Grids(GridSeeds),
    /// In another way, at the size of the image.
    Full(SeedMaps),
}

/// The seeds of a list of images, or of a share of it, into a folder.
#[derive(Clone, Debug)]
pub struct SeedJob<'a> {
    /// The images.
    pub images: &'a ImageSet,
    /// Where the files go.
    pub folder: SeedFolder<'a>,
    /// Which files.
    pub outputs: SeedOutputs,
    /// Which of the images.
    pub shard: Option<Shard>,
    /// Images in memory at once, at most as many as there are threads; as many as there are threads without it.
    pub jobs: Option<usize>,
    /// What the folder must be of. Without it, whoever calls knows that it is.
    pub manifest: Option<SeedManifest>,
    /// Threads that come along when others have no use for them.
    pub spare: Option<&'a SpareThreads>,
}

impl<'a> SeedJob<'a> {
    /// All images, the usual files, as many at a time as there are threads.
    pub fn new(images: &'a ImageSet, folder: SeedFolder<'a>) -> Self {
        Self { images, folder, outputs: SeedOutputs::default(), shard: None, jobs: None, manifest: None, spare: None }
    }

    /// Writes the files of every image that has not all of them, from the seeds that `seeds_of` makes.
    ///
    /// Labels and refined masks are made of what the arrays hold, so they are what anybody makes of the arrays later.
    pub(crate) fn run(
        &self,
        progress: &Progress,
        interrupt: &Interrupt,
        seeds_of: impl Fn(usize, &RgbImage) -> Result<Seeds> + Sync,
    ) -> Result<()> {
        let folder = self.folder.path;
        let indices: Vec<usize> = self.shard.unwrap_or_default().images(self.images.len()).collect();
        let refinement = self.outputs.masks.as_ref().map(|config| Refinement::new(self.images, config, &indices));
        let refinement = refinement.transpose()?;
        let mut prepared = Prepared::default();
        self.open(&indices, &mut prepared)?;
        let (start, every) = (Instant::now(), (indices.len() / LINES).max(LEAST_LINE));
        let bar = progress.bar("seeds", indices.len());
        let none = SpareThreads::default();
        let spare = self.spare.unwrap_or(&none);
        let written = for_each_in_turn(&indices, self.jobs.unwrap_or(usize::MAX), spare, |index| {
            if interrupt.asked() {
                return Err(Error::Interrupted(format!("; seeds finished by then are in {}", folder.display())));
            }
            if !(self.folder.resume && self.paths(index).iter().all(|path| path.exists())) {
                let image = self.images.image(index)?;
                self.write(index, &image, seeds_of(index, &image)?, refinement.as_ref())?;
            }
            bar.inc(1);
            let done = bar.position() as usize;
            if done.is_multiple_of(every) {
                progress.done("seeds", &folder.display().to_string(), &format!("{done} of {}", indices.len()), start);
            }
            Ok(())
        });
        bar.finish_and_clear();
        // Other shards count on what is there, though it be empty.
        if written.is_err() && self.shard.is_none() {
            prepared.discard(!indices.iter().flat_map(|index| self.paths(*index)).any(|path| path.exists()));
        }
        written
    }

    fn paths(&self, index: usize) -> Vec<PathBuf> {
        self.outputs.paths(self.folder.path, self.images.name(index))
    }

    fn open(&self, indices: &[usize], prepared: &mut Prepared) -> Result<()> {
        let SeedFolder { path: folder, resume, .. } = self.folder;
        if let Some(manifest) = &self.manifest {
            // Other shards write here, but not these files.
            let there = indices.iter().flat_map(|index| self.paths(*index)).find(|path| !resume && path.exists());
            if let Some(path) = there {
                return Err(Error::OutputExists(path));
            }
            prepared.folder(folder)?;
            if manifest.open(folder, resume || self.shard.is_some())? {
                prepared.manifest(folder.join(SEED_MANIFEST));
            }
        }
        let folders = self.outputs.folders().into_iter().map(|part| folder.join(part)).chain(self.outputs.npy.clone());
        for path in folders {
            prepared.folder(&path)?;
        }
        Ok(())
    }

    fn write(&self, index: usize, image: &RgbImage, seeds: Seeds, refinement: Option<&Refinement<'_>>) -> Result<()> {
        let (name, folder) = (self.images.name(index), self.folder.path);
        let named = |err| of_image(name, err);
        let (maps, grids) = match seeds {
            Seeds::Grids(grids) => {
                let grids = grids.rounded().map_err(named)?;
                (grids.seed_maps().map_err(named)?, Some(grids))
            }
            Seeds::Full(maps) => (maps.rounded(), None),
        };
        let size = (image.height() as usize, image.width() as usize);
        if self.outputs.png {
            let data = maps.labels(self.folder.background_score as f32);
            write_mask(png_path(folder, name), &Mask { width: size.1, height: size.0, data })?;
        }
        if let Some(refinement) = refinement {
            write_mask(seed_mask_path(folder, name), &refinement.mask(index, image, &maps)?)?;
        }
        if let Some(folder) = &self.outputs.npy {
            write_npy(&npy_path(folder, name), &maps)?;
        }
        match (self.outputs.arrays, &grids) {
            (false, _) => Ok(()),
            (true, Some(grids)) => infer::write_grid_seeds(&array_path(folder, name), grids),
            (true, None) => infer::write_seeds(&array_path(folder, name), &maps, Precision::Half),
        }
    }
}

/// Lines a run says how far it is in, where there is no bar, and the least images from one to the next.
const LINES: usize = 20;
const LEAST_LINE: usize = 100;

/// An error of the network or of arithmetic, which knows of no image.
pub(crate) fn of_image(name: &str, err: Error) -> Error {
    match err {
        err @ Error::Core(_) => Error::data(name, err.to_string()),
        err => err,
    }
}

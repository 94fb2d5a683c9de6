//! [`ImageSet`]: what training may see.

use std::path::{Path, PathBuf};

use candle_wsss::ClassLayout;
use image::{GrayImage, RgbImage};

use crate::data::decode::{image_size, read_gray_image, read_rgb_image};
use crate::data::listing::{Found, Listing, Sight};
use crate::data::saliency::saliency_path;
use crate::data::source::DataSource;
use crate::error::{Error, Result};

/// Images of a split with their image-level labels and saliency maps: all that weak supervision may see.
///
/// Labels are read and checked when it is opened, pixels when asked for. It has no way to a mask; whether masks were
/// looked at for labels while it was opened, [`Self::label_source`] says.
#[derive(Clone, Debug)]
pub struct ImageSet {
    root: PathBuf,
    class_names: Vec<String>,
    layout: ClassLayout,
    entries: Vec<Entry>,
    saliency: PathBuf,
    label_source: String,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    image: PathBuf,
    labels: Vec<usize>,
}

impl ImageSet {
    /// Opens a split of the data set in the folder `root`, all in its usual place.
    ///
    /// # Errors
    /// Those of [`Self::open_from`].
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        Self::open_from(&DataSource::new(root, split))
    }

    /// Opens a part of a data set of any kind.
    ///
    /// # Errors
    /// When the list is missing, empty, or names an image twice; when an image or its labels are missing; when labels
    /// are malformed or have an unknown class.
    pub fn open_from(source: &DataSource) -> Result<Self> {
        Self::of(source, Listing::read(source, Sight::Labels)?)
    }

    // All were looked at, and the first bad one in the list's order is reported, whatever the threads did.
    pub(super) fn of(source: &DataSource, listing: Listing) -> Result<Self> {
        let Listing { class_names, label_source, images, saliency, problems, .. } = listing;
        if let Some(first) = problems.into_iter().next() {
            return Err(first);
        }
        let layout = ClassLayout::new(class_names.len())?;
        let entry = |Found { name, image, labels }| {
            Ok(Entry { name, image: image?, labels: labels.transpose()?.unwrap_or_default() })
        };
        let entries = images.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Self { root: source.root.clone(), class_names, layout, entries, saliency, label_source })
    }

    /// The folder of the data set.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Images in the split.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none; never, once opened.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Name of an image, without folder and extension.
    pub fn name(&self, index: usize) -> &str {
        &self.entries[index].name
    }

    /// Names of the foreground classes, in the order of their indices.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The classes, background last.
    pub fn layout(&self) -> ClassLayout {
        self.layout
    }

    /// Foreground classes of an image, ascending.
    pub fn labels(&self, index: usize) -> &[usize] {
        &self.entries[index].labels
    }

    /// Where the labels are from: `annotations (XML)`, the name of a file such as `cls_labels.npy` or
    /// `instances_train2014.json`, or `masks`. Numbers of a run with the last are not those of weak supervision by image-level
    /// labels somebody gave, and reports say so.
    pub fn label_source(&self) -> &str {
        &self.label_source
    }

    /// Path of an image.
    pub fn image_path(&self, index: usize) -> &Path {
        &self.entries[index].image
    }

    /// Reads an image.
    ///
    /// # Errors
    /// When it is damaged or cut short.
    pub fn image(&self, index: usize) -> Result<RgbImage> {
        read_rgb_image(&self.entries[index].image)
    }

    /// Path where an image's saliency map is, or would be if there is none.
    pub fn saliency_path(&self, index: usize) -> PathBuf {
        saliency_path(&self.saliency, &self.entries[index].name)
    }

    /// Reads the saliency map of an image, `None` when there is no such file.
    ///
    /// # Errors
    /// When it is damaged, or of another size than the image.
    pub fn saliency(&self, index: usize) -> Result<Option<GrayImage>> {
        let path = self.saliency_path(index);
        if !path.is_file() {
            return Ok(None);
        }
        let map = read_gray_image(&path)?;
        self.check_size(index, &path, (map.width() as usize, map.height() as usize))?;
        Ok(Some(map))
    }

    pub(super) fn check_size(&self, index: usize, path: &Path, size: (usize, usize)) -> Result<()> {
        let image = &self.entries[index].image;
        expect_size(image, image_size(image)?, path, size)
    }
}

/// Fails unless what is in `path` has the size of its image, both width and height.
pub(super) fn expect_size(image: &Path, expected: (usize, usize), path: &Path, size: (usize, usize)) -> Result<()> {
    if size == expected {
        return Ok(());
    }
    let ((image_width, image_height), (width, height)) = (expected, size);
    let reason = format!(
        "expected the size of {}, {image_width} x {image_height} (width x height), is {width} x {height}",
        image.display()
    );
    Err(Error::data(path, reason))
}

//! Data sets in PASCAL VOC layout.
//!
//! ```text
//! ImageSets/Segmentation/<split>.txt   one image name a line
//! JPEGImages/<name>.jpg                or .jpeg, .png
//! Annotations/<name>.xml               image-level labels: the names of the objects
//! SegmentationClass/<name>.png         masks, for evaluation only: 0 background, c + 1 class c, 255 void
//! saliency/<name>.png                  optional, gray, bright where something stands out
//! classes.txt                          optional, one class a line; VOC's twenty without it
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_wsss::ClassLayout;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

use crate::data::annotation::read_labels;
use crate::data::decode::{image_size, read_file, read_gray_image, read_rgb_image};
use crate::data::mask::{BACKGROUND, MAX_CLASSES, Mask, VOID};
use crate::data::palette::read_mask;
use crate::data::source::DataSource;
use crate::error::{Error, Result};

/// PASCAL VOC's classes in their order.
pub const VOC_CLASSES: &[&str] = &[
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Images of a split with their image-level labels and saliency maps: all that weak supervision may see.
///
/// Never looks at the folder of the masks. Labels are read and checked when it is opened, pixels when asked for.
#[derive(Clone, Debug)]
pub struct ImageSet {
    root: PathBuf,
    class_names: Vec<String>,
    layout: ClassLayout,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    image: PathBuf,
    labels: Vec<usize>,
}

impl ImageSet {
    /// Opens a split of the data set in the folder `root`.
    ///
    /// # Errors
    /// When the list is missing, empty, or names an image twice; when an image or annotation is missing; when an
    /// annotation is malformed or has an unknown class.
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        if !root.is_dir() {
            return Err(Error::data(root, "expected the folder of a data set, there is no such folder"));
        }
        let class_names = read_class_names(root)?;
        let layout = ClassLayout::new(class_names.len())?;
        let names = read_split(root, split)?;
        // All are looked at, and the first bad one in the list's order is reported, whatever the threads do.
        let entries: Vec<Result<Entry>> =
            names.into_par_iter().map(|name| open_entry(root, name, &class_names)).collect();
        let entries = entries.into_iter().collect::<Result<_>>()?;
        Ok(Self { root: root.to_path_buf(), class_names, layout, entries })
    }

    /// Opens a part of a data set of any kind.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_from(source: &DataSource) -> Result<Self> {
        Self::open(&source.root, &source.split)
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

    /// Path where an image's saliency map is, if there is one.
    pub fn saliency_path(&self, index: usize) -> PathBuf {
        self.root.join("saliency").join(format!("{}.png", self.entries[index].name))
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

    fn check_size(&self, index: usize, path: &Path, (width, height): (usize, usize)) -> Result<()> {
        let image = &self.entries[index].image;
        let (image_width, image_height) = image_size(image)?;
        if (width, height) == (image_width, image_height) {
            return Ok(());
        }
        let reason = format!(
            "expected the size of {}, {image_width} x {image_height} (width x height), is {width} x {height}",
            image.display()
        );
        Err(Error::data(path, reason))
    }
}

/// A split with its masks, for evaluation.
#[derive(Clone, Debug)]
pub struct Dataset {
    images: Arc<ImageSet>,
    has_masks: bool,
}

impl Dataset {
    /// Opens a split with its masks, which may be absent. See [`ImageSet::open`].
    ///
    /// # Errors
    /// Those of [`ImageSet::open`].
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        let images = ImageSet::open(root, split)?;
        let has_masks = (0..images.len()).all(|index| mask_path(&images, index).is_file());
        Ok(Self { images: Arc::new(images), has_masks })
    }

    /// Opens a part of a data set of any kind with its masks, which may be absent.
    ///
    /// # Errors
    /// Those of [`ImageSet::open`].
    pub fn open_from(source: &DataSource) -> Result<Self> {
        Self::open(&source.root, &source.split)
    }

    /// Opens a part of a data set for training: no masks, and no way to them.
    ///
    /// # Errors
    /// Those of [`ImageSet::open`].
    pub fn open_images_from(source: &DataSource) -> Result<Arc<ImageSet>> {
        Ok(Arc::new(ImageSet::open_from(source)?))
    }

    /// Opens a split for training: no masks, and no way to them.
    ///
    /// # Errors
    /// Those of [`ImageSet::open`].
    pub fn open_images(root: &Path, split: &str) -> Result<Arc<ImageSet>> {
        Ok(Arc::new(ImageSet::open(root, split)?))
    }

    /// The same split without its masks.
    pub fn images(&self) -> &Arc<ImageSet> {
        &self.images
    }

    /// Images in the split.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is none; never, once opened.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Name of an image, without folder and extension.
    pub fn name(&self, index: usize) -> &str {
        self.images.name(index)
    }

    /// Names of the foreground classes, in the order of their indices.
    pub fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    /// The classes, background last.
    pub fn layout(&self) -> ClassLayout {
        self.images.layout()
    }

    /// Foreground classes of an image, ascending.
    pub fn labels(&self, index: usize) -> &[usize] {
        self.images.labels(index)
    }

    /// Reads an image.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    pub fn image(&self, index: usize) -> Result<RgbImage> {
        self.images.image(index)
    }

    /// Reads the saliency map of an image.
    ///
    /// # Errors
    /// Those of [`ImageSet::saliency`].
    pub fn saliency(&self, index: usize) -> Result<Option<GrayImage>> {
        self.images.saliency(index)
    }

    /// Whether every image of the split has a mask file.
    pub fn has_masks(&self) -> bool {
        self.has_masks
    }

    /// Reads the mask of an image.
    ///
    /// # Errors
    /// When it is missing, no 8 bit palette or gray PNG, of another size than the image, or has a value that is
    /// neither background, class nor void.
    pub fn mask(&self, index: usize) -> Result<Mask> {
        let path = mask_path(&self.images, index);
        let mask = read_mask(&path)?;
        self.images.check_size(index, &path, (mask.width, mask.height))?;
        let classes = self.layout().num_foreground();
        let bad = mask.data.iter().position(|&value| usize::from(value) > classes && value != VOID);
        if let Some(at) = bad {
            let (x, y) = (at % mask.width, at / mask.width);
            let reason = format!(
                "pixel ({x}, {y}) has value {}; expected {BACKGROUND} (background), 1 to {classes} (classes) or \
                 {VOID} (void)",
                mask.data[at]
            );
            return Err(Error::data(&path, reason));
        }
        Ok(mask)
    }
}

fn mask_path(images: &ImageSet, index: usize) -> PathBuf {
    images.root.join("SegmentationClass").join(format!("{}.png", images.name(index)))
}

fn open_entry(root: &Path, name: String, class_names: &[String]) -> Result<Entry> {
    let folder = root.join("JPEGImages");
    let candidates = EXTENSIONS.map(|extension| folder.join(format!("{name}.{extension}")));
    let Some(image) = candidates.iter().find(|path| path.is_file()).cloned() else {
        let reason = format!("expected an image (or .{}), there is no such file", EXTENSIONS[1..].join(", ."));
        return Err(Error::data(&candidates[0], reason));
    };
    let labels = read_labels(&root.join("Annotations").join(format!("{name}.xml")), class_names)?;
    Ok(Entry { name, image, labels })
}

fn read_split(root: &Path, split: &str) -> Result<Vec<String>> {
    if !is_plain(split) {
        return Err(Error::Config(format!("split: expected the name of a list, such as `train`, got `{split}`")));
    }
    let path = root.join("ImageSets").join("Segmentation").join(format!("{split}.txt"));
    let names = read_lines(&path, &format!("the list of split `{split}`"), |line, name| {
        if is_plain(name) {
            return Ok(());
        }
        let reason = format!("line {line}: expected the name of an image without its folder, got `{name}`");
        Err(Error::data(&path, reason))
    })?;
    if names.is_empty() {
        return Err(Error::data(&path, "expected the names of images, one a line; the list is empty"));
    }
    Ok(names)
}

fn read_class_names(root: &Path) -> Result<Vec<String>> {
    let path = root.join("classes.txt");
    if !path.exists() {
        return Ok(VOC_CLASSES.iter().map(ToString::to_string).collect());
    }
    let mut names = read_lines(&path, "the names of the classes", |_, _| Ok(()))?;
    // Lists in which line k names mask value k start with the background.
    if names.first().is_some_and(|name| name == "background") {
        names.remove(0);
    }
    if names.is_empty() || names.len() > MAX_CLASSES {
        let reason = format!("expected 1 to {MAX_CLASSES} class names, one a line; got {}", names.len());
        return Err(Error::data(&path, reason));
    }
    Ok(names)
}

/// The lines of a file, trimmed, blank ones left out, each checked and there only once.
fn read_lines(path: &Path, expected: &str, check: impl Fn(usize, &str) -> Result<()>) -> Result<Vec<String>> {
    let bytes = read_file(path, expected)?;
    let text = String::from_utf8(bytes).map_err(|err| Error::data(path, format!("expected text: {err}")))?;
    let mut first = BTreeMap::new();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty()) {
        check(number, line)?;
        if let Some(before) = first.insert(line, number) {
            return Err(Error::data(path, format!("line {number}: `{line}` is there already, on line {before}")));
        }
        lines.push(line.to_string());
    }
    Ok(lines)
}

/// Whether a name is one component of a path, so that nothing outside its folder can be reached.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

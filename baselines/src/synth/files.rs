//! The files of a generated data set.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::config::SynthConfig;
use super::generate::{SplitSummary, Summary};
use crate::data::{Annotation, Mask, Object, write_indexed_png};
use crate::error::{Error, Result};

const FOLDERS: [&str; 5] = ["ImageSets/Segmentation", "JPEGImages", "Annotations", "SegmentationClass", "saliency"];

/// An image with all that is known about it.
pub(super) struct Rendered {
    pub(super) name: String,
    pub(super) image: RgbImage,
    pub(super) mask: Mask,
    pub(super) objects: Vec<Object>,
    /// Gray levels, of the image's size.
    pub(super) saliency: Vec<u8>,
}

pub(super) fn image_name(split: &str, index: usize) -> String {
    format!("{split}_{index:06}")
}

pub(super) fn make_folders(root: &Path) -> Result<()> {
    for folder in FOLDERS {
        let path = root.join(folder);
        fs::create_dir_all(&path).map_err(Error::io(&path))?;
    }
    Ok(())
}

impl Rendered {
    /// Writes image, annotation, mask and saliency map. The folder is a temporary one: no care for half a file.
    pub(super) fn write(self, root: &Path, config: &SynthConfig) -> Result<()> {
        let Self { name, image, mask, objects, saliency } = self;
        let (width, height) = image.dimensions();
        let file_name = format!("{name}.jpg");
        write(&root.join("JPEGImages").join(&file_name), |bytes| {
            let encoder = JpegEncoder::new_with_quality(bytes, config.jpeg_quality);
            encoder.write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8).map_err(io::Error::other)
        })?;
        write(&root.join("SegmentationClass").join(format!("{name}.png")), |bytes| write_indexed_png(bytes, &mask))?;
        write(&root.join("saliency").join(format!("{name}.png")), |bytes| {
            let encoder = PngEncoder::new(bytes);
            encoder.write_image(&saliency, width, height, ExtendedColorType::L8).map_err(io::Error::other)
        })?;
        let source = format!("synthetic, family {}, seed {}", config.family, config.seed);
        let annotation = Annotation { file_name, source, width: mask.width, height: mask.height, objects };
        write_text(&root.join("Annotations").join(format!("{name}.xml")), &annotation.write())
    }
}

/// Writes the lists of the splits, the names of the classes, and what this data set is.
pub(super) fn write_lists(root: &Path, config: &SynthConfig, summary: &Summary) -> Result<()> {
    let list =
        |split: &str, count: usize| -> String { (0..count).map(|index| image_name(split, index) + "\n").collect() };
    let (train, val) = (list("train", config.train), list("val", config.val));
    let lists = root.join("ImageSets").join("Segmentation");
    write_text(&lists.join("train.txt"), &train)?;
    // An empty list is an error to whoever opens it.
    if !val.is_empty() {
        write_text(&lists.join("val.txt"), &val)?;
    }
    write_text(&lists.join("trainval.txt"), &(train + &val))?;
    write_text(&root.join("classes.txt"), &(summary.class_names.join("\n") + "\n"))?;
    let settings =
        toml::to_string_pretty(config).map_err(|err| Error::Config(format!("settings of the generator: {err}")))?;
    write_text(&root.join("README.md"), &readme(&settings, summary))
}

fn readme(settings: &str, summary: &Summary) -> String {
    let mut text = format!("# Synthetic scenes\n\n{DESIGN}\n## Figures\n\n");
    let SplitSummary { images_per_class: train, .. } = &summary.train;
    let SplitSummary { images_per_class: val, .. } = &summary.val;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "| split | images | objects | foreground | void | part of the object | usual context |");
    let _ = writeln!(text, "|---|---|---|---|---|---|---|");
    for (name, split) in [("train", &summary.train), ("val", &summary.val)] {
        let SplitSummary { images, objects, foreground, void, part, usual_context, .. } = split;
        let percent = |share: &f64| format!("{:.1} %", 100.0 * share);
        let shares = [foreground, void, part, usual_context].map(percent).join(" | ");
        let _ = writeln!(text, "| {name} | {images} | {objects} | {shares} |");
    }
    let _ = writeln!(text, "\n| class | mask value | images in train | images in val |\n|---|---|---|---|");
    for (class, name) in summary.class_names.iter().enumerate() {
        let _ = writeln!(text, "| {name} | {} | {} | {} |", class + 1, train[class], val[class]);
    }
    let _ = write!(text, "\n## Settings\n\n```toml\n{settings}```\n");
    text
}

const DESIGN: &str = include_str!("DESIGN.md");

fn write(path: &Path, encode: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    encode(&mut bytes).and_then(|()| fs::write(path, &bytes)).map_err(Error::io(path))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io(path))
}

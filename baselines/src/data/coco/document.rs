//! From the JSON as it is to a split: every reference followed, every number checked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use serde::de::DeserializeOwned;

use crate::data::coco::config::{CocoConfig, Overlap};
use crate::data::coco::find::{Places, is_below};
use crate::data::coco::json::{Annotation, Category, Document, Image, Segmentation};
use crate::data::coco::polygon::check_crossings;
use crate::data::coco::run_length::{check_sum, parse_characters};
use crate::data::coco::{Coco, CocoImage};
use crate::data::decode::{MAX_PIXELS, image_size, read_file};
use crate::data::mask::MAX_CLASSES;
use crate::error::{Error, Result};

/// The longest side of an image. A mask needs memory for what the JSON says.
const MAX_SIDE: u64 = 1 << 16;

/// An image with more pixels is compared with its file before any memory is taken; for all of them that would be slow.
const LARGE: u64 = 1 << 22;

/// An annotation that was checked.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) id: i64,
    image: u32,
    pub(super) class: u8,
    pub(super) is_crowd: bool,
    area: f64,
    pub(super) segmentation: Segmentation,
}

impl Shape {
    pub(super) fn has_segmentation(&self) -> bool {
        !matches!(&self.segmentation, Segmentation::Polygons { ends, .. } if ends.is_empty())
    }
}

/// Reads the JSON. Its text is gone when this returns.
pub(super) fn read<S: DeserializeOwned>(path: &Path) -> Result<Document<S>> {
    let bytes = read_file(path, "COCO's annotations")?;
    serde_json::from_slice(&bytes).map_err(|err| Error::data(path, format!("expected COCO's JSON: {err}")))
}

/// The error of one annotation.
pub(super) fn wrong(path: &Path, id: i64, reason: &str) -> Error {
    Error::data(path, format!("annotation {id}: {reason}"))
}

/// Checks all of a document and puts it in order.
pub(super) fn build<S: Into<Segmentation>>(
    document: Document<S>,
    places: &Places,
    config: &CocoConfig,
) -> Result<Coco> {
    let path = &places.annotations;
    let Document { categories, images, annotations } = document;
    let (class_ids, class_names) = classes(path, categories)?;
    let (image_ids, mut images) = sorted_images(images, places)?;
    check_unique(path, "annotation", annotations.iter().map(|annotation| annotation.id))?;
    let mut shapes = Vec::with_capacity(annotations.len());
    for annotation in annotations {
        let id = annotation.id;
        let known = Known { class_ids: &class_ids, image_ids: &image_ids, images: &images };
        shapes.push(shape_of(annotation, &known, config).map_err(|reason| wrong(path, id, &reason))?);
    }
    // Stable: what is equal stays in the order of the file.
    shapes.sort_by(|a, b| match config.overlap {
        Overlap::SmallerOnTop => a.image.cmp(&b.image).then(b.area.total_cmp(&a.area)),
        Overlap::FileOrder | Overlap::Void => a.image.cmp(&b.image),
    });
    let ranges = label_images(&mut images, &shapes, config);
    if images.is_empty() {
        return Err(Error::data(path, "expected images with labels, as others are left out; there is none"));
    }
    Ok(Coco { class_names, images, annotations: path.clone(), config: config.clone(), shapes, ranges })
}

// Labels of images out of their shapes, which stand image by image; where those of each are.
fn label_images(images: &mut Vec<CocoImage>, shapes: &[Shape], config: &CocoConfig) -> Vec<Range<usize>> {
    let start = |index: usize| shapes.partition_point(|shape| (shape.image as usize) < index);
    let mut ranges: Vec<_> = (0..images.len()).map(|index| start(index)..start(index + 1)).collect();
    for (image, range) in images.iter_mut().zip(&ranges) {
        let counted = shapes[range.clone()].iter().filter(|shape| config.crowd_labels || !shape.is_crowd);
        image.labels = counted.map(|shape| usize::from(shape.class)).collect();
        image.labels.sort_unstable();
        image.labels.dedup();
        image.labels.shrink_to_fit();
    }
    if !config.keep_unlabelled {
        let mut stays = images.iter().map(|image| !image.labels.is_empty()).collect::<Vec<_>>().into_iter();
        ranges.retain(|_| stays.next() == Some(true));
        images.retain(|image| !image.labels.is_empty());
    }
    ranges
}

// Ids and names, by ascending id.
fn classes(path: &Path, mut categories: Vec<Category>) -> Result<(Vec<i64>, Vec<String>)> {
    if categories.is_empty() || categories.len() > MAX_CLASSES {
        return Err(Error::data(path, format!("expected 1 to {MAX_CLASSES} categories, got {}", categories.len())));
    }
    check_unique(path, "category", categories.iter().map(|category| category.id))?;
    categories.sort_by_key(|category| category.id);
    let mut first = BTreeMap::new();
    for Category { id, name } in &categories {
        if name.trim().is_empty() {
            return Err(Error::data(path, format!("category {id}: expected a `name`, it is empty")));
        }
        if let Some(before) = first.insert(name, id) {
            return Err(Error::data(path, format!("category {id}: `{name}` is the name of category {before} already")));
        }
    }
    Ok(categories.into_iter().map(|Category { id, name }| (id, name)).unzip())
}

// Ids and images, by ascending id.
fn sorted_images(mut images: Vec<Image>, places: &Places) -> Result<(Vec<i64>, Vec<CocoImage>)> {
    let path = &places.annotations;
    if images.is_empty() {
        return Err(Error::data(path, "expected images, `images` is empty"));
    }
    check_unique(path, "image", images.iter().map(|image| image.id))?;
    images.sort_by_key(|image| image.id);
    let ids = images.iter().map(|image| image.id).collect::<Vec<_>>();
    // All are looked at, and the first bad one by id is reported, whatever the threads do.
    let opened: Vec<Result<CocoImage>> = images.into_par_iter().map(|image| open_image(&image, places)).collect();
    let images = opened.into_iter().collect::<Result<Vec<_>>>()?;
    let mut first = BTreeMap::new();
    for (image, id) in images.iter().zip(&ids) {
        if let Some(before) = first.insert(&image.name, id) {
            let reason = format!("image {id}: the name `{}` is that of image {before} already", image.name);
            return Err(Error::data(path, reason));
        }
    }
    Ok((ids, images))
}

fn open_image(image: &Image, places: &Places) -> Result<CocoImage> {
    let Image { id, file_name, width, height } = image;
    let wrong = |reason: String| Err(Error::data(&places.annotations, format!("image {id}: {reason}")));
    let sides = 1..=MAX_SIDE;
    if !sides.contains(width) || !sides.contains(height) || width * height > MAX_PIXELS {
        return wrong(format!(
            "expected sides of 1 to {MAX_SIDE} and at most {MAX_PIXELS} pixels, is {width} x {height} (width x height)"
        ));
    }
    let stem = Path::new(file_name).file_stem().and_then(|stem| stem.to_str());
    let Some(name) = stem.filter(|_| is_below(Path::new(file_name)) && !file_name.contains(['\\', '\0'])) else {
        return wrong(format!("expected the name of a file below the images' folder, got `{file_name}`"));
    };
    let Some(path) = places.image(file_name) else {
        return wrong(format!("expected its file `{file_name}` in one of {}; it is in none", places.folders()));
    };
    if width * height > LARGE {
        let (own_width, own_height) = image_size(&path)?;
        if [own_width as u64, own_height as u64] != [*width, *height] {
            let file = path.display();
            return wrong(format!(
                "is {width} x {height} (width x height), its file {file} {own_width} x {own_height}"
            ));
        }
    }
    Ok(CocoImage { name: name.to_string(), path, labels: Vec::new(), width: *width as usize, height: *height as usize })
}

fn check_unique(path: &Path, what: &str, ids: impl Iterator<Item = i64>) -> Result<()> {
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::data(path, format!("{what} {}: the id is there twice", pair[0]))),
        None => Ok(()),
    }
}

/// What annotations refer to.
struct Known<'a> {
    class_ids: &'a [i64],
    image_ids: &'a [i64],
    images: &'a [CocoImage],
}

fn shape_of<S: Into<Segmentation>>(
    annotation: Annotation<S>,
    known: &Known<'_>,
    config: &CocoConfig,
) -> Result<Shape, String> {
    let Annotation { id, image_id, category_id, iscrowd, area, segmentation } = annotation;
    let image = known.image_ids.binary_search(&image_id);
    let image = image.map_err(|_| format!("expected the id of an image, there is no image {image_id}"))?;
    let class = known.class_ids.binary_search(&category_id);
    let class = class.map_err(|_| format!("expected the id of a category, there is no category {category_id}"))?;
    if !matches!(iscrowd, 0 | 1) {
        return Err(format!("iscrowd: expected 0 or 1, got {iscrowd}"));
    }
    let area = match area {
        Some(area) if area >= 0.0 => area,
        Some(area) => return Err(format!("area: expected a number from 0, got {area}")),
        None if config.overlap == Overlap::SmallerOnTop => {
            return Err("expected an `area`, as smaller annotations are drawn on top; there is none".to_string());
        }
        None => 0.0,
    };
    let segmentation = match segmentation {
        Some(segmentation) => segmentation.into(),
        None => Segmentation::Polygons { points: Box::default(), ends: Box::default() },
    };
    let CocoImage { width, height, .. } = known.images[image];
    check(&segmentation, (height, width))?;
    // Both are indices of slices whose length was checked, or that could not be held.
    let (image, class) = (image as u32, class as u8);
    Ok(Shape { id, image, class, is_crowd: iscrowd == 1, area, segmentation })
}

/// Whether a segmentation fits its image, so that it can be drawn without a further look.
fn check(segmentation: &Segmentation, (height, width): (usize, usize)) -> Result<(), String> {
    let check_size = |size: &[u64; 2]| {
        if *size == [height as u64, width as u64] {
            return Ok(());
        }
        let [rows, columns] = size;
        Err(format!("size: expected that of its image, {height} x {width} (height x width), got {rows} x {columns}"))
    };
    match segmentation {
        Segmentation::Polygons { points, ends } => check_crossings(points, ends, (height, width)),
        Segmentation::Runs { size, lengths } => {
            check_size(size)?;
            check_sum(lengths.iter().copied(), (height, width))
        }
        Segmentation::Text { size, characters } => {
            check_size(size)?;
            check_sum(parse_characters(characters)?, (height, width))
        }
        Segmentation::Defect(reason) => Err(reason.to_string()),
    }
}

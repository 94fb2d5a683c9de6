//! COCO's JSON as structures: what is read of it, and nothing else kept.
//!
//! The JSON of COCO's training images is a third of a gigabyte. It goes straight into these structures; numbers of a
//! polygon become points of eight bytes, everything not named here is skipped.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::data::coco::polygon::{MAX_COORDINATE, quantize};

/// The file. `S` is a [`Segmentation`], or [`NoSegmentation`] where masks are of no interest.
#[derive(Debug, Deserialize)]
pub(super) struct Document<S> {
    pub(super) categories: Vec<Category>,
    pub(super) images: Vec<Image>,
    pub(super) annotations: Vec<Annotation<S>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Category {
    pub(super) id: i64,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub(super) id: i64,
    pub(super) file_name: String,
    pub(super) width: u64,
    pub(super) height: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Annotation<S> {
    pub(super) id: i64,
    pub(super) image_id: i64,
    pub(super) category_id: i64,
    #[serde(default)]
    pub(super) iscrowd: i64,
    pub(super) area: Option<f64>,
    pub(super) segmentation: Option<S>,
}

/// A segmentation that is skipped.
#[derive(Debug)]
pub(super) struct NoSegmentation;

impl<'de> Deserialize<'de> for NoSegmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl From<NoSegmentation> for Segmentation {
    fn from(_: NoSegmentation) -> Self {
        Self::Polygons { points: Box::default(), ends: Box::default() }
    }
}

/// Which pixels an annotation covers, as the file has it.
#[derive(Clone, Debug)]
pub(super) enum Segmentation {
    /// Corners of all polygons in fifths of a pixel, and where each polygon ends among them.
    Polygons { points: Box<[[i32; 2]]>, ends: Box<[u32]> },
    /// Lengths of runs, off and on in turns, column by column.
    Runs { size: [u64; 2], lengths: Box<[u32]> },
    /// The same in COCO's characters.
    Text { size: [u64; 2], characters: Box<str> },
    /// Something else. What is wrong is kept until the annotation's id is known, which comes behind it.
    Defect(Box<str>),
}

impl<'de> Deserialize<'de> for Segmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SegmentationVisitor)
    }
}

struct SegmentationVisitor;

impl<'de> Visitor<'de> for SegmentationVisitor {
    type Value = Segmentation;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a segmentation: a list of polygons, or a map with `size` and `counts`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut polygons: A) -> Result<Segmentation, A::Error> {
        let mut points = Vec::new();
        let mut ends = Vec::new();
        let mut defect = None;
        while let Some(Polygon(numbers)) = polygons.next_element()? {
            let index = ends.len();
            defect = defect.or_else(|| defect_of(index, &numbers));
            points.extend(numbers.chunks_exact(2).map(|pair| [quantize(pair[0]), quantize(pair[1])]));
            let end = u32::try_from(points.len()).map_err(|_| A::Error::custom("a segmentation of 2^32 points"))?;
            ends.push(end);
        }
        Ok(match defect {
            Some(defect) => Segmentation::Defect(defect.into()),
            None => Segmentation::Polygons { points: points.into(), ends: ends.into() },
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Segmentation, A::Error> {
        let mut size = None;
        let mut counts = None;
        while let Some(key) = map.next_key::<Box<str>>()? {
            match key.as_ref() {
                "size" => size = Some(map.next_value::<[u64; 2]>()?),
                "counts" => counts = Some(map.next_value::<Counts>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(match (size, counts) {
            (Some(size), Some(Counts::Lengths(lengths))) => Segmentation::Runs { size, lengths },
            (Some(size), Some(Counts::Text(characters))) => Segmentation::Text { size, characters },
            (None, _) => Segmentation::Defect("expected a `size` beside the `counts`, there is none".into()),
            (_, None) => Segmentation::Defect("expected `counts` beside the `size`, there are none".into()),
        })
    }
}

fn defect_of(index: usize, numbers: &[f64]) -> Option<String> {
    let len = numbers.len();
    if !len.is_multiple_of(2) {
        return Some(format!("polygon {index}: expected pairs of x and y, got {len} numbers"));
    }
    if len < 6 {
        return Some(format!("polygon {index}: expected at least 3 points, got {}", len / 2));
    }
    // Points beyond the image are cut off at its rim, as usual; not those that are no place at all.
    let bad = numbers.iter().find(|number| number.abs() > MAX_COORDINATE)?;
    Some(format!("polygon {index}: expected coordinates of at most {MAX_COORDINATE} either way, got {bad}"))
}

/// Numbers of one polygon: x and y in turns.
#[derive(Deserialize)]
#[serde(transparent)]
struct Polygon(Vec<f64>);

enum Counts {
    Lengths(Box<[u32]>),
    Text(Box<str>),
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountsVisitor)
    }
}

struct CountsVisitor;

impl<'de> Visitor<'de> for CountsVisitor {
    type Value = Counts;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("counts: a list of lengths, or a string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lengths: A) -> Result<Counts, A::Error> {
        let mut all = Vec::new();
        while let Some(length) = lengths.next_element()? {
            all.push(length);
        }
        Ok(Counts::Lengths(all.into()))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Counts, E> {
        Ok(Counts::Text(text.into()))
    }
}

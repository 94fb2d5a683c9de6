//! Evaluation at every background score in one pass over the images.
//!
//! A pixel is foreground at exactly the thresholds below its best score. So it is enough to count pixels by
//! (number of thresholds below the score, ground truth, best class); the confusion of every threshold is a partial
//! sum of these counts, equal to that of a separate evaluation in every pixel.

use std::sync::Arc;

use candle_wsss::Error;

use crate::data::MAX_CLASSES;
use crate::error::Result;
use crate::eval::bins::Bins;
use crate::eval::confusion::{AbsentClass, ClassCounts, Confusion, TruthRows, expect_pixels};
use crate::infer::SeedMaps;

/// Pixels looked at together: their scores stay in the nearest cache.
const BLOCK: usize = 1024;

/// Counts over all images, for all thresholds.
#[derive(Clone, Debug)]
pub struct Sweep {
    num_classes: usize,
    thresholds: Vec<f64>,
    bins: Bins,
    /// `(thresholds + 1, num_classes, num_classes)`: pixels by thresholds below the score, ground truth, best label.
    counts: Vec<u64>,
}

/// The counts of one image, small enough to be kept for all images of a split.
#[derive(Clone, Debug)]
pub struct ImageHistogram {
    num_classes: usize,
    keys: Arc<[f32]>,
    cells: Vec<Cell>,
}

/// Pixels of one ground truth and one best label, by the number of thresholds below their score.
#[derive(Clone, Debug)]
struct Cell {
    ground_truth: usize,
    label: usize,
    bins: Vec<u32>,
}

impl Sweep {
    /// No image yet. `num_classes` counts the background; `thresholds` are background scores, ascending.
    ///
    /// Scores are float32, and so are the thresholds when they are compared.
    ///
    /// # Errors
    /// When there are no classes beside the background or too many for 8 bits, or no thresholds, or when the thresholds
    /// do not ascend, are negative (a class the image does not have would win) or not finite.
    pub fn new(num_classes: usize, thresholds: Vec<f64>) -> Result<Self> {
        if !(2..=MAX_CLASSES + 1).contains(&num_classes) {
            let reason = format!("must be between 2 and {}, is {num_classes}", MAX_CLASSES + 1);
            return Err(Error::config("num_classes", reason).into());
        }
        if thresholds.is_empty() {
            return Err(Error::config("thresholds", "must not be empty").into());
        }
        if let Some(bad) = thresholds.iter().find(|threshold| !threshold.is_finite() || **threshold < 0.0) {
            return Err(Error::config("thresholds", format!("must be finite and not negative, one is {bad}")).into());
        }
        if let Some(pair) = thresholds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::config("thresholds", format!("must ascend, got {} then {}", pair[0], pair[1])).into());
        }
        let bins = Bins::new(thresholds.iter().map(|threshold| *threshold as f32).collect());
        let counts = vec![0; bins.len() * num_classes * num_classes];
        Ok(Self { num_classes, thresholds, bins, counts })
    }

    /// Classes with the background.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Background scores, ascending.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// Counts one image. `ground_truth` is row-major in the palette convention, 255 void.
    ///
    /// # Errors
    /// When the sizes differ or a label is no class; nothing is counted then.
    pub fn add(&mut self, ground_truth: &[u8], maps: &SeedMaps) -> Result<()> {
        let image = self.image(ground_truth, maps)?;
        self.add_image(&image)
    }

    /// The counts of one image, without adding them: for many images at a time, and for measures per image.
    ///
    /// # Errors
    /// When the sizes differ or a label is no class.
    pub fn image(&self, ground_truth: &[u8], maps: &SeedMaps) -> Result<ImageHistogram> {
        expect_pixels("seed maps", maps.height() * maps.width(), ground_truth.len())?;
        if let Some(class) = maps.classes().iter().find(|class| **class + 1 >= self.num_classes) {
            let reason = format!("classes must be below {}, one is {class}", self.num_classes - 1);
            return Err(Error::value("seed maps", reason).into());
        }
        // Without classes there is still a column, of background in every bin.
        let columns = maps.classes().len().max(1);
        let rows = TruthRows::new(self.num_classes);
        let bins = self.bins.len();
        let mut dense = vec![0u32; rows.len() * columns * bins];
        let pixels = ground_truth.len();
        let (mut scores, mut winners) = ([0f32; BLOCK], [0u32; BLOCK]);
        for (block, truth) in ground_truth.chunks(BLOCK).enumerate() {
            let scores = &mut scores[..truth.len()];
            let winners = &mut winners[..truth.len()];
            best_of(maps.maps(), pixels, block * BLOCK, scores, winners);
            for ((&truth, &score), &winner) in truth.iter().zip(&*scores).zip(&*winners) {
                let bin = self.bins.of(score);
                dense[(rows.of(truth) * columns + winner as usize) * bins + bin] += 1;
            }
        }
        let row = columns * bins;
        rows.expect_classes(ground_truth, |at| dense[at * row..][..row].iter().any(|count| *count > 0))?;
        let label = |column: usize| maps.classes().get(column).map_or(0, |class| class + 1);
        let cells = dense[..self.num_classes * row]
            .chunks_exact(bins)
            .enumerate()
            .filter(|(_, bins)| bins.iter().any(|count| *count > 0))
            .map(|(at, bins)| Cell { ground_truth: at / columns, label: label(at % columns), bins: bins.to_vec() })
            .collect();
        Ok(ImageHistogram { num_classes: self.num_classes, keys: self.bins.keys(), cells })
    }

    /// Adds the counts of one image. The order of images does not matter.
    ///
    /// # Errors
    /// When they were made by a sweep of other classes or thresholds.
    pub fn add_image(&mut self, image: &ImageHistogram) -> Result<()> {
        self.expect_like(image.num_classes, &image.keys)?;
        let plane = self.num_classes * self.num_classes;
        for cell in &image.cells {
            let at = cell.ground_truth * self.num_classes + cell.label;
            for (bin, count) in cell.bins.iter().enumerate() {
                self.counts[bin * plane + at] += u64::from(*count);
            }
        }
        Ok(())
    }

    /// Adds another sweep. The order of merging does not matter.
    ///
    /// # Errors
    /// When it is of other classes or thresholds.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.expect_like(other.num_classes, &other.bins.keys())?;
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        Ok(())
    }

    fn expect_like(&self, num_classes: usize, keys: &[f32]) -> Result<()> {
        let own = self.bins.keys();
        if self.num_classes == num_classes && *own == *keys {
            return Ok(());
        }
        let expected = format!("{} classes and {} thresholds", self.num_classes, own.len());
        let reason = format!("expected {expected}, got {num_classes} and {}, or others", keys.len());
        Err(Error::value("sweep", reason).into())
    }

    /// The confusion at every threshold.
    pub fn curve(&self) -> Curve {
        let plane = self.num_classes * self.num_classes;
        let mut totals = vec![0u64; self.num_classes];
        for (at, count) in self.counts.iter().enumerate() {
            totals[at % plane / self.num_classes] += count;
        }
        // From the highest threshold down, more and more pixels turn foreground.
        let mut foreground = vec![0u64; plane];
        let mut points = Vec::with_capacity(self.thresholds.len());
        for index in (0..self.thresholds.len()).rev() {
            let turned = &self.counts[(index + 1) * plane..(index + 2) * plane];
            foreground.iter_mut().zip(turned).for_each(|(sum, more)| *sum += more);
            let mut point = Confusion::new(self.num_classes);
            for (truth, row) in foreground.chunks_exact(self.num_classes).enumerate() {
                row.iter().enumerate().for_each(|(label, count)| point.add_count(truth, label, *count));
                point.add_count(truth, 0, totals[truth] - row.iter().sum::<u64>());
            }
            points.push(point);
        }
        points.reverse();
        Curve { thresholds: self.thresholds.clone(), points }
    }
}

impl ImageHistogram {
    /// Confusion of this image at the threshold of that index; `None` when there is no such threshold.
    pub fn confusion(&self, index: usize) -> Option<Confusion> {
        if index >= self.keys.len() {
            return None;
        }
        let mut confusion = Confusion::new(self.num_classes);
        for cell in &self.cells {
            let (below, above) = cell.bins.split_at(index + 1);
            let sum = |bins: &[u32]| bins.iter().map(|count| u64::from(*count)).sum();
            confusion.add_count(cell.ground_truth, 0, sum(below));
            confusion.add_count(cell.ground_truth, cell.label, sum(above));
        }
        Some(confusion)
    }

    /// As [`Self::confusion`], reduced to what the `IoU` needs.
    pub fn class_counts(&self, index: usize) -> Option<ClassCounts> {
        self.confusion(index).map(|confusion| confusion.class_counts())
    }
}

// The largest score of every pixel from `start` on and the index of its map, the first of equal ones; `maps` are
// `(classes, pixels)`.
fn best_of(maps: &[f32], pixels: usize, start: usize, scores: &mut [f32], winners: &mut [u32]) {
    scores.fill(f32::NEG_INFINITY);
    winners.fill(0);
    for (index, map) in (0u32..).zip(maps.chunks_exact(pixels.max(1))) {
        for ((score, winner), &candidate) in scores.iter_mut().zip(&mut *winners).zip(&map[start..]) {
            // Written without a branch, so that several pixels are done at a time.
            let wins = candidate > *score;
            *score = if wins { candidate } else { *score };
            *winner = if wins { index } else { *winner };
        }
    }
}

/// The confusion at every background score.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    thresholds: Vec<f64>,
    points: Vec<Confusion>,
}

/// One point of a [`Curve`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Its place in the curve.
    pub index: usize,
    /// Background score.
    pub threshold: f64,
    /// mIoU there, in `[0, 1]`.
    pub mean_iou: f64,
}

impl Curve {
    /// Background scores, ascending.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// The confusion at every threshold.
    pub fn points(&self) -> &[Confusion] {
        &self.points
    }

    /// mIoU at every threshold.
    pub fn mean_ious(&self, absent: AbsentClass) -> Vec<Option<f64>> {
        self.points.iter().map(|point| point.mean_iou(absent)).collect()
    }

    /// The point of the largest mIoU, the lowest threshold among equals; `None` when none is defined.
    pub fn best(&self, absent: AbsentClass) -> Option<CurvePoint> {
        let mut best: Option<CurvePoint> = None;
        for (index, mean_iou) in self.mean_ious(absent).into_iter().enumerate() {
            let Some(mean_iou) = mean_iou else { continue };
            if best.is_none_or(|best| mean_iou > best.mean_iou) {
                best = Some(CurvePoint { index, threshold: self.thresholds[index], mean_iou });
            }
        }
        best
    }

    /// Place of a background score among the thresholds, compared in float32.
    ///
    /// # Errors
    /// When it is not one of them.
    pub fn index_of(&self, score: f64) -> Result<usize> {
        let found = self.thresholds.iter().position(|threshold| *threshold as f32 == score as f32);
        let (first, last) = (self.thresholds.first(), self.thresholds.last());
        let reason = || {
            let ends = first.zip(last).map_or_else(String::new, |(first, last)| format!(", {first} to {last}"));
            format!("must be one of the {} thresholds{ends}, is {score}", self.thresholds.len())
        };
        found.ok_or_else(|| Error::config("background_score", reason()).into())
    }

    /// The point at a background score; `None` as mIoU never occurs under [`AbsentClass::AsZero`].
    ///
    /// # Errors
    /// When the score is not one of the thresholds.
    pub fn at(&self, score: f64, absent: AbsentClass) -> Result<Option<CurvePoint>> {
        let index = self.index_of(score)?;
        let point = |mean_iou| CurvePoint { index, threshold: self.thresholds[index], mean_iou };
        Ok(self.points[index].mean_iou(absent).map(point))
    }
}

//! What inference leaves of an image: a score per pixel for every class the image has.

use candle_wsss::Error;

use crate::data::{BACKGROUND, MAX_CLASSES, MAX_PIXELS, VOID};
use crate::error::Result;

/// The most scores of an image, classes times pixels: 1 GiB as float32. A small file may ask for far more.
const MAX_SCORES: usize = 1 << 28;

/// Scores of the classes of one image, at the size of the image.
///
/// Classes the image does not have are not stored: they never win against a background score of 0 or more.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedMaps {
    classes: Vec<usize>,
    height: usize,
    width: usize,
    maps: Vec<f32>,
}

impl SeedMaps {
    /// Maps `(classes, height, width)`, row-major, of foreground classes in ascending order.
    ///
    /// # Errors
    /// When the classes do not ascend or do not fit an 8-bit mask, when the image has more than 2^26 pixels or 2^28 scores,
    /// when there are not `classes * height * width` scores, or when one of them is not a number.
    pub fn new(classes: Vec<usize>, height: usize, width: usize, maps: Vec<f32>) -> Result<Self> {
        Self::check_classes(&classes)?;
        let expected = Self::check_size(classes.len(), (height, width))?;
        if expected != maps.len() {
            let shape = format!("{} maps of {height} x {width}", classes.len());
            return Err(Error::value("seed maps", format!("expected {shape}, got {} scores", maps.len())).into());
        }
        if let Some(at) = maps.iter().position(|score| score.is_nan()) {
            let class = classes[at / (height * width)];
            return Err(Error::value("seed maps", format!("a score of class {class} is not a number")).into());
        }
        Ok(Self { classes, height, width, maps })
    }

    /// Fails unless classes ascend and fit an 8-bit mask.
    pub(super) fn check_classes(classes: &[usize]) -> Result<()> {
        if classes.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::value("seed maps", format!("classes must ascend, are {classes:?}")).into());
        }
        match classes.last() {
            Some(&last) if last >= MAX_CLASSES => {
                Err(Error::value("seed maps", format!("classes must be below {MAX_CLASSES}, one is {last}")).into())
            }
            _ => Ok(()),
        }
    }

    /// Scores of so many classes at the size of an image; fails where they are more than an image can have.
    pub(super) fn check_size(num_classes: usize, (height, width): (usize, usize)) -> Result<usize> {
        let fail = |reason: String| Err(Error::value("seed maps", reason).into());
        let pixels = height.checked_mul(width).filter(|pixels| *pixels as u64 <= MAX_PIXELS);
        let Some(pixels) = pixels else {
            return fail(format!("expected an image of at most {MAX_PIXELS} pixels, got {height} x {width}"));
        };
        match num_classes.checked_mul(pixels).filter(|scores| *scores <= MAX_SCORES) {
            Some(scores) => Ok(scores),
            None => fail(format!(
                "expected at most {MAX_SCORES} scores, classes times pixels, got {num_classes} x {height} x {width}"
            )),
        }
    }

    /// Foreground classes of the image, ascending.
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// Rows of every map.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of every map.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All scores, `(classes, height, width)` row-major.
    pub fn maps(&self) -> &[f32] {
        &self.maps
    }

    // To be changed to other numbers only.
    pub(super) fn maps_mut(&mut self) -> &mut [f32] {
        &mut self.maps
    }

    /// The map of a foreground class, `(height, width)` row-major; `None` when the image does not have the class.
    pub fn map(&self, class: usize) -> Option<&[f32]> {
        let index = self.classes.binary_search(&class).ok()?;
        let pixels = self.height * self.width;
        Some(&self.maps[index * pixels..(index + 1) * pixels])
    }

    /// Label of every pixel in the palette convention: 0 background, class + 1 elsewhere.
    ///
    /// The largest score wins. The background wins a tie, then the lowest class.
    pub fn labels(&self, background_score: f32) -> Vec<u8> {
        let (scores, winners) = self.winners();
        // Classes fit in 8 bits by construction.
        let labels: Vec<u8> = self.classes.iter().map(|class| u8::try_from(class + 1).unwrap_or(VOID)).collect();
        let label = |(score, winner): (f32, u8)| {
            if score > background_score { labels[usize::from(winner)] } else { BACKGROUND }
        };
        scores.into_iter().zip(winners).map(label).collect()
    }

    /// Largest score of every pixel, and the index of its class in [`Self::classes`]; negative infinity without classes.
    pub(crate) fn winners(&self) -> (Vec<f32>, Vec<u8>) {
        let pixels = self.height * self.width;
        let mut scores = vec![f32::NEG_INFINITY; pixels];
        let mut winners = vec![0u8; pixels];
        if pixels == 0 {
            return (scores, winners);
        }
        for (index, map) in (0..=u8::MAX).zip(self.maps.chunks_exact(pixels)) {
            for ((score, winner), &candidate) in scores.iter_mut().zip(&mut winners).zip(map) {
                if candidate > *score {
                    *score = candidate;
                    *winner = index;
                }
            }
        }
        (scores, winners)
    }
}

//! The background score chosen on images other than those it is judged on.

use candle_wsss::Error;

use crate::error::Result;
use crate::eval::confusion::{AbsentClass, ClassCounts, Confusion};
use crate::eval::sweep::{ImageHistogram, Sweep};

/// Outcome of choosing the background score without the images it is applied to.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossFit {
    /// The score chosen for every fold, from the images of the other folds.
    pub thresholds: Vec<f64>,
    /// Every image counted once, at the score of its fold.
    pub confusion: Confusion,
    /// The same image by image.
    pub images: Vec<ClassCounts>,
}

/// Image `i` belongs to fold `i mod folds`. The score of a fold is the best one of all other folds.
///
/// The best point of a curve uses the ground truth it is measured with; this measure does not. `None` where there is
/// nothing to choose by: all ground truth is in the images of one fold, or there is none.
///
/// # Errors
/// When there are fewer than two folds or fewer images than folds, or the histograms do not fit `like`.
pub fn cross_fit(
    like: &Sweep,
    images: &[ImageHistogram],
    folds: usize,
    absent: AbsentClass,
) -> Result<Option<CrossFit>> {
    if folds < 2 || images.len() < folds {
        let reason = format!("must be between 2 and the number of images, {}, is {folds}", images.len());
        return Err(Error::config("folds", reason).into());
    }
    let empty = Sweep::new(like.num_classes(), like.thresholds().to_vec())?;
    let mut parts = vec![empty.clone(); folds];
    for (index, image) in images.iter().enumerate() {
        parts[index % folds].add_image(image)?;
    }
    let mut fit =
        CrossFit { thresholds: Vec::new(), confusion: Confusion::new(like.num_classes()), images: Vec::new() };
    let mut chosen = Vec::with_capacity(folds);
    for fold in 0..folds {
        let mut others = empty.clone();
        parts.iter().enumerate().filter(|(index, _)| *index != fold).try_for_each(|(_, part)| others.merge(part))?;
        let curve = others.curve();
        // Where absent classes count as zero, a best score is there without a pixel, and means nothing.
        let is_judged = curve.points().first().is_some_and(|point| point.pixel_accuracy().is_some());
        let Some(best) = curve.best(absent).filter(|_| is_judged) else { return Ok(None) };
        fit.thresholds.push(best.threshold);
        chosen.push(best.index);
    }
    for (index, image) in images.iter().enumerate() {
        if let Some(counts) = image.confusion(chosen[index % folds]) {
            fit.confusion.merge(&counts)?;
            fit.images.push(counts.class_counts());
        }
    }
    Ok(Some(fit))
}

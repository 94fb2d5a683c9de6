//! The background score chosen on images other than those it is judged on.

use candle_wsss::Error;

use crate::error::Result;
use crate::eval::confusion::{AbsentClass, Confusion};
use crate::eval::sweep::{ImageHistogram, Sweep};

/// Outcome of choosing the background score without the images it is applied to.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossFit {
    /// The score chosen for every fold, from the images of the other folds.
    pub thresholds: Vec<f64>,
    /// Every image counted once, at the score of its fold.
    pub confusion: Confusion,
}

/// Image `i` belongs to fold `i mod folds`. The score of a fold is the best one of all other folds.
///
/// The best point of a curve uses the ground truth it is measured with; this measure does not.
///
/// # Errors
/// When there are fewer than two folds or fewer images than folds, or the histograms do not fit `like`.
pub fn cross_fit(like: &Sweep, images: &[ImageHistogram], folds: usize, absent: AbsentClass) -> Result<CrossFit> {
    if folds < 2 || images.len() < folds {
        let reason = format!("must be between 2 and the number of images, {}, is {folds}", images.len());
        return Err(Error::config("folds", reason).into());
    }
    let mut thresholds = Vec::with_capacity(folds);
    let mut confusion = Confusion::new(like.num_classes());
    for fold in 0..folds {
        let mut others = Sweep::new(like.num_classes(), like.thresholds().to_vec())?;
        for (index, image) in images.iter().enumerate() {
            if index % folds != fold {
                others.add_image(image)?;
            }
        }
        let best = others.curve().best(absent);
        let best = best.ok_or_else(|| Error::value("cross fit", "no image has a pixel with ground truth"))?;
        thresholds.push(best.threshold);
        for image in images.iter().skip(fold).step_by(folds) {
            if let Some(counts) = image.confusion(best.index) {
                confusion.merge(&counts)?;
            }
        }
    }
    Ok(CrossFit { thresholds, confusion })
}

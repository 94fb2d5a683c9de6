//! Which pixels count within a view: half at random, half hard ones, class by class. On the host:
//! [`prototype_contrast`](crate::ops::prototype_contrast) does the same where the pixels are.

use super::SmallClasses;
use crate::error::{Error, Result};
use crate::sampler::{HashKey, Sampler};

/// Pixels of one class that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSample {
    /// The class.
    pub class: usize,
    /// Its pixels in the batch, ascending.
    pub members: Vec<usize>,
    /// Positions among `members`, some of them twice: the random half, then the hard half. Empty when half of
    /// the class is less than a pixel.
    pub chosen: Vec<usize>,
}

/// Half of the pixels of every class that occurs, ascending: at random, and hard ones of the fraction given
/// ([`PixelSampling::HardHalf`](super::PixelSampling)). Without a fraction, every pixel.
///
/// `labels` has a class and `similarity` a number for each pixel of the batch, the larger the closer to the class's
/// prototype. The random half of class `c` has the smallest draws of the sampler's
/// [`hash_key`](Sampler::hash_key) in `scope`; a sampler without one draws it from the stream `{scope}/{c}`.
///
/// # Errors
/// When the lengths differ, or a replayed stream does not fit.
///
/// # Examples
/// ```
/// use candle_wsss::ReplaySampler;
/// use candle_wsss::regularizer::ppc::sample_pixels;
///
/// let sampler = ReplaySampler::new().record_distinct("intra/source/2", vec![0, 4]);
/// let similarity = [0.0, 0.9, 0.8, 0.7, 0.6, 0.5];
/// let samples = sample_pixels(&[0, 2, 2, 2, 2, 2], &similarity, Some(0.6), &sampler, "intra/source")?;
/// // One pixel is too few. Of five, the hardest three are 4, 3 and 2, and the last two of these count.
/// assert!(samples[0].chosen.is_empty());
/// assert_eq!(samples[1].chosen, [0, 4, 3, 2]);
/// assert!(sample_pixels(&[0, 2], &[0.0], None, &sampler, "intra/source").is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn sample_pixels(
    labels: &[usize],
    similarity: &[f64],
    hard_fraction: Option<f64>,
    sampler: &dyn Sampler,
    scope: &str,
) -> Result<Vec<ClassSample>> {
    if labels.len() != similarity.len() {
        let reason = format!("expected one for each of {} labels, got {}", labels.len(), similarity.len());
        return Err(Error::value("similarities", reason));
    }
    let key = sampler.fork(scope).hash_key();
    let random_half = |class: usize, len: usize| match key {
        Some(key) => Ok(smallest_draws(key, class, len, len / 2)),
        None => sampler.fork(&format!("{scope}/{class}")).distinct(len, len / 2),
    };
    let mut samples = Vec::new();
    for (class, members) in members(labels).into_iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        let chosen = match hard_fraction {
            None => (0..members.len()).collect(),
            Some(hard_fraction) => {
                let half = members.len() / 2;
                let mut chosen = match half {
                    0 => Vec::new(),
                    _ => random_half(class, members.len())?,
                };
                let of_class: Vec<f64> = members.iter().map(|pixel| similarity[*pixel]).collect();
                chosen.extend(hard_pixels(&of_class, half, hard_fraction));
                chosen
            }
        };
        samples.push(ClassSample { class, members, chosen });
    }
    Ok(samples)
}

// Pixels of each class, by class.
fn members(labels: &[usize]) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); labels.iter().max().map_or(0, |class| class + 1)];
    for (pixel, class) in labels.iter().enumerate() {
        members[*class].push(pixel);
    }
    members
}

// Positions, in the order of their draws.
fn smallest_draws(key: HashKey, class: usize, len: usize, amount: usize) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..len).collect();
    positions.sort_by_key(|position| key.draw(class as u32, *position as u32));
    positions.truncate(amount);
    positions
}

// Of the least similar fraction in ascending order, the last `amount`.
fn hard_pixels(similarity: &[f64], amount: usize, fraction: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..similarity.len()).collect();
    order.sort_by(|a, b| similarity[*a].total_cmp(&similarity[*b]));
    order.truncate((similarity.len() as f64 * fraction) as usize);
    order.split_off(order.len().saturating_sub(amount))
}

/// What each of `pixels` pixels weighs: `1 / (chosen pixels of its class) / classes`, as often as it was chosen. `None`
/// when no class has a chosen pixel.
pub fn pixel_weights(samples: &[ClassSample], pixels: usize, small: SmallClasses) -> Option<Vec<f64>> {
    let with_pixels = samples.iter().filter(|sample| !sample.chosen.is_empty());
    let classes = match small {
        SmallClasses::Counted => samples.len(),
        SmallClasses::LeftOut => with_pixels.clone().count(),
    };
    with_pixels.clone().next()?;
    let mut weights = vec![0.0; pixels];
    for sample in with_pixels {
        for &position in &sample.chosen {
            weights[sample.members[position]] += 1.0 / (sample.chosen.len() * classes) as f64;
        }
    }
    Some(weights)
}

//! CPU code of the targets of the cross regularization.

use super::OneHotChannels;
use crate::ops::kernel::Real;

/// Background as what the foreground leaves, then all but the strongest of the competing channels set to 0 at each pixel.
///
/// `maps` are the planes of the `present` classes, of `pixels` each and none below 0; classes that are absent are 0
/// everywhere. The result has the background behind them.
pub(super) fn one_hot<T: Real>(
    maps: &[T],
    present: &[usize],
    classes: usize,
    pixels: usize,
    channels: OneHotChannels,
) -> Vec<T> {
    let zero = T::zero();
    let mut result = Vec::with_capacity(maps.len() + pixels);
    result.extend_from_slice(maps);
    let mut strongest = vec![zero; pixels];
    for plane in maps.chunks_exact(pixels) {
        raise(&mut strongest, plane);
    }
    result.extend(strongest.iter().map(|&strongest| T::one() - strongest));
    let (foreground, background) = result.split_at_mut(maps.len());
    match channels {
        OneHotChannels::Foreground => {
            for plane in foreground.chunks_exact_mut(pixels) {
                keep_strongest(plane, &strongest);
            }
        }
        OneHotChannels::SkipFirst => {
            let skipped = usize::from(present.first() == Some(&0));
            strongest.copy_from_slice(background);
            // An absent class competes with its zeros.
            if present.len() - skipped + 2 < classes {
                strongest
                    .iter_mut()
                    .for_each(|strongest| *strongest = if *strongest < zero { zero } else { *strongest });
            }
            for plane in foreground.chunks_exact(pixels).skip(skipped) {
                raise(&mut strongest, plane);
            }
            for plane in foreground.chunks_exact_mut(pixels).skip(skipped) {
                keep_strongest(plane, &strongest);
            }
            keep_strongest(background, &strongest);
        }
    }
    result
}

fn raise<T: Real>(strongest: &mut [T], plane: &[T]) {
    for (strongest, &value) in strongest.iter_mut().zip(plane) {
        *strongest = if value > *strongest { value } else { *strongest };
    }
}

fn keep_strongest<T: Real>(plane: &mut [T], strongest: &[T]) {
    for (value, &strongest) in plane.iter_mut().zip(strongest) {
        // Written so that NaN stays.
        *value = if *value < strongest { T::zero() } else { *value };
    }
}

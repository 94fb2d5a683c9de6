//! Depthwise convolution of one plane at stride 1: blocks of outputs in registers, all taps added before they are stored.

use crate::ops::kernel::Real;

/// Outputs side by side.
const BLOCK: usize = 16;

/// One plane, its size and the zeros around it.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a, T> {
    pub(super) values: &'a [T],
    pub(super) size: (usize, usize),
    pub(super) padding: (usize, usize),
}

/// Writes the plane's products with `weight`, `kernel.0 * kernel.1` taps `dilation` apart, into `out` of `out_width`
/// columns. Taps are added in their order, whatever the block.
pub(super) fn correlate<T: Real>(
    plane: Plane<'_, T>,
    weight: &[T],
    kernel: (usize, usize),
    dilation: usize,
    out: &mut [T],
    out_width: usize,
) {
    let ((height, width), (above, before)) = (plane.size, plane.padding);
    let row_len = width + 2 * before;
    // With a block to spare, so that the last one may read beyond its row.
    let mut padded = vec![T::zero(); (height + 2 * above) * row_len + BLOCK];
    for (row, values) in plane.values.chunks_exact(width).enumerate() {
        padded[(row + above) * row_len + before..][..width].copy_from_slice(values);
    }
    for (row, out) in out.chunks_exact_mut(out_width).enumerate() {
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let mut sums = [T::zero(); BLOCK];
            for (tap, &weight) in weight.iter().enumerate() {
                let (y, x) = (row + tap / kernel.1 * dilation, block * BLOCK + tap % kernel.1 * dilation);
                for (sum, &value) in sums.iter_mut().zip(&padded[y * row_len + x..][..BLOCK]) {
                    *sum += weight * value;
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

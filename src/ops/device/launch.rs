//! What a kernel is started with.

use std::borrow::Cow;

/// A kernel, how many threads of it, and its arguments in their order.
pub(in crate::ops) struct Launch<'a> {
    /// The folder below `src/ops` whose `kernel.cu` has it.
    pub(in crate::ops) module: &'static str,
    /// Its name there, with the suffix of its type ([`suffix`](super::suffix)).
    pub(in crate::ops) name: Cow<'a, str>,
    /// Blocks along x, y and z. Nothing is started when one of them is 0.
    pub(in crate::ops) blocks: [usize; 3],
    /// Threads of a block, at most 1024. Kernels with warp operations want a multiple of 32.
    pub(in crate::ops) threads: usize,
    /// Bytes of dynamic shared memory of a block, at most 99 KiB to run on all devices from 8.0 on.
    pub(in crate::ops) shared: usize,
    pub(in crate::ops) arguments: &'a [Arg],
}

/// Memory a block may have on every device from compute capability 8.0 on.
pub(super) const MOST_SHARED: usize = 99 << 10;
/// Blocks a launch may have along y and z; along x it is 2^31 - 1.
pub(super) const MOST_BLOCKS: [usize; 3] = [i32::MAX as usize, 65535, 65535];

impl Launch<'_> {
    /// Why it cannot be started anywhere.
    pub(super) fn defect(&self) -> Option<String> {
        let Launch { name, blocks, threads, shared, .. } = self;
        if !(1..=1024).contains(threads) {
            return Some(format!("{name}: {threads} threads in a block, expected 1 to 1024"));
        }
        if *shared > MOST_SHARED {
            return Some(format!("{name}: {shared} bytes of shared memory, expected at most {MOST_SHARED}"));
        }
        if blocks.iter().zip(MOST_BLOCKS).any(|(count, most)| *count > most) {
            return Some(format!("{name}: {blocks:?} blocks, expected at most {MOST_BLOCKS:?}"));
        }
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.contains(&0)
    }
}

/// An argument. The kernel's parameter must be of the same size, which only the emulator can check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Arg {
    Pointer(u64),
    I32(i32),
    U64(u64),
    F64(f64),
}

impl Arg {
    /// A size that the kernel takes as `int`.
    ///
    /// # Errors
    /// When it does not fit: kernels index with 32 bits within a plane or row.
    pub(in crate::ops) fn size(value: usize) -> candle_core::Result<Self> {
        match i32::try_from(value) {
            Ok(value) => Ok(Self::I32(value)),
            Err(_) => candle_core::bail!("a size of {value} is too large for a kernel"),
        }
    }
}

/// Blocks that give each of `items` a thread of its own, or, from a million blocks on, several: kernels loop by the grid.
pub(in crate::ops) fn blocks(items: usize, threads: usize) -> [usize; 3] {
    [items.div_ceil(threads).min(1 << 20), 1, 1]
}

/// Blocks and threads that give each pixel of each map a thread, without a division to find it: kernels loop over pixels
/// along x and over maps along y.
pub(in crate::ops) fn map_blocks(maps: usize, pixels: usize) -> ([usize; 3], usize) {
    let threads = pixels.next_multiple_of(32).clamp(32, 256);
    ([pixels.div_ceil(threads).min(1 << 20), maps.min(MOST_BLOCKS[1]), 1], threads)
}

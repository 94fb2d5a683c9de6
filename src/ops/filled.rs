//! Results that are written once.
//!
//! A vector of zeros that a loop then fills crosses the memory twice, and a large one costs more on the way there than what
//! is computed. Here a chunk is made in a buffer that stays in the cache, and then copied to where nothing was yet.

use rayon::prelude::*;

use super::kernel::{GRAIN, Real};

/// `len` elements, in chunks of `chunk`, several a thread when they are small; `fill` gets the number of the chunk, and a
/// buffer of which it writes every element: what is in there before is anything.
pub(super) fn filled<T: Real>(len: usize, chunk: usize, fill: impl Fn(usize, &mut [T]) + Send + Sync) -> Vec<T> {
    filled_with(len, chunk, || (), |(), index, buffer| fill(index, buffer))
}

/// The same; `fill` also gets what `state` made for its thread.
pub(super) fn filled_with<T: Real, S>(
    len: usize,
    chunk: usize,
    state: impl Fn() -> S + Send + Sync,
    fill: impl Fn(&mut S, usize, &mut [T]) + Send + Sync,
) -> Vec<T> {
    let mut result = Vec::with_capacity(len);
    let chunk = chunk.clamp(1, len.max(1));
    let room = result.spare_capacity_mut()[..len].par_chunks_mut(chunk).enumerate();
    room.with_min_len(GRAIN.div_ceil(chunk)).for_each_init(
        || (state(), vec![T::zero(); chunk]),
        |(state, buffer), (index, room)| {
            let buffer = &mut buffer[..room.len()];
            if cfg!(debug_assertions) {
                // What is left out must not look right by chance.
                buffer.fill(T::from_f64(f64::NAN));
            }
            fill(state, index, buffer);
            for (room, &value) in room.iter_mut().zip(buffer.iter()) {
                room.write(value);
            }
        },
    );
    // SAFETY: the capacity is at least `len`, and the chunks, all of which were written, cover the first `len` elements.
    #[allow(unsafe_code, reason = "memory that is known to be written")]
    unsafe {
        result.set_len(len);
    }
    result
}

//! The host's part of the kernels: one launch where rows fit into shared memory, else selection and sort by several.

use candle_core::{DType, Result, Shape};

use super::Order;
use super::cpu::TopKIndices;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, blocks, suffix};

const THREADS: usize = 256;

/// Longest rows that are sorted whole.
const SHORT: usize = 4096;

/// Items that a block sorts, at most `SHORT`.
const TILE: usize = 2048;

/// Elements of a row that a block looks at.
const CHUNK: usize = 8192;

/// Rows side by side; blocks loop over more.
const ROWS: usize = 1 << 15;

/// Bits of a key that are found at a time.
const DIGIT: usize = 8;

pub(super) fn indices(top: &TopKIndices, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (&len, outer) = x.dims.split_last().unwrap_or((&1, &[]));
    let mut dims = outer.to_vec();
    dims.push(top.k);
    let shape = Shape::from(dims);
    let result = gpu.alloc(DType::U32, shape.elem_count())?;
    if shape.elem_count() > 0 {
        let selection =
            Selection { gpu, x, rows: outer.iter().product(), len, k: top.k, smallest: top.order == Order::Smallest };
        if len <= SHORT {
            selection.sort_whole_rows(&result)?;
        } else {
            selection.select_and_sort(&result)?;
        }
    }
    Ok((result, shape))
}

struct Selection<'a> {
    gpu: &'a dyn Gpu,
    x: DeviceArray<'a>,
    rows: usize,
    len: usize,
    k: usize,
    smallest: bool,
}

/// The selected elements of each row, and others that come last, up to a power of 2.
struct Items {
    keys: Buffer,
    indices: Buffer,
    padded: usize,
}

impl Selection<'_> {
    fn launch(&self, name: &str, dtype: DType, blocks: [usize; 3], shared: usize, arguments: &[Arg]) -> Result<()> {
        let name = format!("{name}_{}", suffix(dtype)?).into();
        self.gpu.launch(&Launch { module: "top_k", name, blocks, threads: THREADS, shared, arguments })
    }

    /// Bytes of a key, and of a key with its index.
    fn key_bytes(&self) -> (usize, usize) {
        let key = accumulator(self.x.dtype).size_in_bytes();
        (key, key + size_of::<u32>())
    }

    /// Memory for keys, as numbers of the same size.
    fn alloc_keys(&self, count: usize) -> Result<Buffer> {
        self.gpu.alloc(accumulator(self.x.dtype), count)
    }

    fn smallest(&self) -> Arg {
        Arg::I32(i32::from(self.smallest))
    }

    fn sort_whole_rows(&self, result: &Buffer) -> Result<()> {
        let padded = self.len.next_power_of_two();
        let threads = (padded / 2).clamp(32, THREADS);
        let (_, item) = self.key_bytes();
        let arguments = [
            self.x.pointer(),
            result.pointer(),
            Arg::size(self.rows)?,
            Arg::size(self.len)?,
            Arg::size(padded)?,
            Arg::size(self.k)?,
            self.smallest(),
        ];
        self.gpu.launch(&Launch {
            module: "top_k",
            name: format!("top_k_rows_{}", suffix(self.x.dtype)?).into(),
            blocks: [self.rows, 1, 1],
            threads,
            shared: padded * item,
            arguments: &arguments,
        })
    }

    fn select_and_sort(&self, result: &Buffer) -> Result<()> {
        let items = self.select()?;
        self.sort(&items)?;
        let count = self.rows * self.k;
        self.gpu.launch(&Launch {
            module: "top_k",
            name: "top_k_take".into(),
            blocks: blocks(count, THREADS),
            threads: THREADS,
            shared: 0,
            arguments: &[
                items.indices.pointer(),
                result.pointer(),
                Arg::U64(count as u64),
                Arg::size(self.k)?,
                Arg::size(items.padded)?,
            ],
        })
    }

    fn select(&self) -> Result<Items> {
        let (x, rows, len) = (self.x.pointer(), Arg::size(self.rows)?, Arg::size(self.len)?);
        let (k, chunk, smallest) = (Arg::size(self.k)?, Arg::size(CHUNK)?, self.smallest());
        let (key, _) = self.key_bytes();
        let sums = accumulator(self.x.dtype);
        // A search is a key and a count, aligned like a key.
        let searches = self.alloc_keys(2 * self.rows)?;
        let histogram = self.gpu.alloc(DType::U32, self.rows << DIGIT)?;
        let of_search = [searches.pointer(), histogram.pointer(), rows];
        let all_bins = blocks(self.rows << DIGIT, THREADS);
        self.launch("top_k_begin", sums, all_bins, 0, &[&of_search[..], &[k]].concat())?;
        let chunks = self.len.div_ceil(CHUNK);
        let grid = [chunks, self.rows.min(ROWS), 1];
        for digit in (0..key * 8 / DIGIT).rev() {
            let shift = Arg::size(digit * DIGIT)?;
            let [searches, histogram, rows] = of_search;
            let arguments = [x, searches, histogram, rows, len, chunk, shift, smallest];
            self.launch("top_k_histogram", self.x.dtype, grid, 0, &arguments)?;
            let arguments = [searches, histogram, rows, shift];
            self.launch("top_k_pick", sums, [self.rows, 1, 1], 0, &arguments)?;
        }
        let counts = self.gpu.alloc(DType::U32, self.rows * chunks * 2)?;
        let arguments = [x, searches.pointer(), counts.pointer(), rows, len, chunk, smallest];
        self.launch("top_k_count", self.x.dtype, grid, 0, &arguments)?;
        self.gpu.launch(&Launch {
            module: "top_k",
            name: "top_k_offsets".into(),
            blocks: [self.rows, 2, 1],
            threads: THREADS,
            shared: THREADS * size_of::<u32>(),
            arguments: &[counts.pointer(), Arg::size(chunks)?],
        })?;
        let padded = self.k.next_power_of_two();
        let items = Items {
            keys: self.alloc_keys(self.rows * padded)?,
            indices: self.gpu.alloc(DType::U32, self.rows * padded)?,
            padded,
        };
        let (keys, indices, padded) = (items.keys.pointer(), items.indices.pointer(), Arg::size(padded)?);
        let arguments = [x, searches.pointer(), counts.pointer(), keys, indices, rows, len, chunk, k, padded, smallest];
        self.launch("top_k_gather", self.x.dtype, grid, 0, &arguments)?;
        Ok(items)
    }

    /// A bitonic sort: steps within tiles in shared memory, the others in a launch each.
    fn sort(&self, items: &Items) -> Result<()> {
        let count = self.rows * items.padded;
        let tile = items.padded.min(TILE);
        let (_, item) = self.key_bytes();
        let sums = accumulator(self.x.dtype);
        let number = |value: usize| Arg::U64(value as u64);
        let whole = [items.keys.pointer(), items.indices.pointer(), number(count), number(items.padded)];
        let within_tiles = |from: usize, to: usize| {
            let arguments = [&whole[..], &[Arg::size(tile)?, number(from), number(to)]].concat();
            let grid = [(count / tile).min(1 << 20), 1, 1];
            self.launch("top_k_sort_tiles", sums, grid, tile * item, &arguments)
        };
        within_tiles(2, tile)?;
        let mut run = 2 * tile;
        while run <= items.padded {
            let mut stride = run / 2;
            while stride >= tile {
                let arguments = [&whole[..], &[number(run), number(stride)]].concat();
                self.launch("top_k_sort_step", sums, blocks(count / 2, THREADS), 0, &arguments)?;
                stride /= 2;
            }
            within_tiles(run, run)?;
            run *= 2;
        }
        Ok(())
    }
}

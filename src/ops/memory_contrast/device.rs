//! The host's part of the kernels. All logits are kept while it runs: a number of the queries' type for each query and
//! row, beside two MiB of partial sums.

use candle_core::{Result, Shape};

use super::NORMALIZE_EPSILON;
use super::cpu::MemoryContrast;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, array, blocks, suffix};

/// Threads of a block that has a query to itself.
const THREADS: usize = 256;
/// Dimensions a block sums rows of.
const DIMENSIONS: usize = 128;
/// Queries a block sums rows for, as `QUERIES` in `kernel.cu`.
const QUERIES: usize = 8;
/// Numbers the partial sums may have, and how many spans of rows they are of at most.
const PARTIAL_NUMBERS: usize = 1 << 19;
const SPANS: usize = 64;
/// Numbers `Query` in `kernel.cu` holds.
const OF_QUERY: usize = 5;

pub(super) fn forward(contrast: &MemoryContrast, gpu: &dyn Gpu, queries: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (classes, length, dim) = contrast.bank.dims3()?;
    let (len, rows) = (queries.dims[0], classes * length);
    let width = if contrast.with_gradient { 2 + 2 * dim } else { 2 };
    let dtype = queries.dtype;
    let (bank, filled, of) = (array(&contrast.bank)?, array(&contrast.filled_there)?, array(&contrast.classes_there)?);
    let (of_sums, of_bank) = (suffix(dtype)?, suffix(contrast.bank.dtype())?);
    let alloc = |len: usize| gpu.alloc(dtype, len);
    let (units, norms, logits, scales) = (alloc(len * dim)?, alloc(len)?, alloc(len * rows)?, alloc(rows)?);
    let (of_queries, result) = (alloc(len * OF_QUERY)?, alloc(len * width)?);
    let launch = |name: &str, blocks: [usize; 3], threads: usize, arguments: &[Arg]| {
        gpu.launch(&Launch { module: "memory_contrast", name: name.into(), blocks, threads, shared: 0, arguments })
    };
    let (size_rows, size_dim, size_length) = (Arg::U64(rows as u64), Arg::size(dim)?, Arg::size(length)?);
    let (size_len, size_width) = (Arg::size(len)?, Arg::size(width)?);
    let (epsilon, clamp) = (Arg::F64(NORMALIZE_EPSILON), Arg::F64(contrast.spec.clamp_min));
    let temperature = Arg::F64(contrast.spec.temperature);
    let arguments = [queries.pointer(), units.pointer(), norms.pointer(), size_dim, epsilon];
    launch(&format!("memory_units_{of_sums}"), [len, 1, 1], THREADS, &arguments)?;
    let arguments = [
        bank.pointer(),
        units.pointer(),
        filled.pointer(),
        logits.pointer(),
        scales.pointer(),
        size_rows,
        size_length,
        size_len,
        size_dim,
        temperature,
        epsilon,
    ];
    launch(&format!("memory_logits_{of_bank}"), blocks(rows * 32, THREADS), THREADS, &arguments)?;
    let arguments = [
        logits.pointer(),
        filled.pointer(),
        of.pointer(),
        of_queries.pointer(),
        result.pointer(),
        size_rows,
        size_length,
        size_width,
        clamp,
    ];
    launch(&format!("memory_losses_{of_sums}"), [len, 1, 1], 4 * THREADS, &arguments)?;
    if contrast.with_gradient {
        let spans = (PARTIAL_NUMBERS / (2 * len * dim).max(1)).clamp(1, SPANS);
        let span = rows.div_ceil(spans).max(1);
        let spans = rows.div_ceil(span);
        let partial = alloc(spans * 2 * len * dim)?;
        let arguments = [
            bank.pointer(),
            logits.pointer(),
            scales.pointer(),
            filled.pointer(),
            of.pointer(),
            of_queries.pointer(),
            partial.pointer(),
            size_rows,
            size_length,
            size_len,
            size_dim,
            Arg::U64(span as u64),
            clamp,
        ];
        let grid = [dim.div_ceil(DIMENSIONS), spans, len.div_ceil(QUERIES)];
        launch(&format!("memory_pull_{of_bank}"), grid, DIMENSIONS, &arguments)?;
        let arguments = [
            partial.pointer(),
            units.pointer(),
            norms.pointer(),
            result.pointer(),
            Arg::size(spans)?,
            size_len,
            size_dim,
            size_width,
            temperature,
            epsilon,
        ];
        launch(&format!("memory_join_{of_sums}"), [2 * len, 1, 1], THREADS, &arguments)?;
    }
    Ok((result, (len, width).into()))
}

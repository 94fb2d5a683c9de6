//! The host's part of the kernels. All logits are kept while it runs: a number of the queries' type for each query and
//! row, beside two MiB of partial sums.

use candle_core::{Result, Shape};

use super::NORMALIZE_EPSILON;
use super::cpu::MemoryContrast;
use crate::ops::device::{Arg, Buffer, DeviceArray, DeviceTensor, Gpu, Launch, array, blocks, suffix};

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
    let run = Run::new(contrast, gpu, queries)?;
    let (len, width) = (run.len, run.width);
    let (units, norms) = run.units()?;
    let (logits, scales) = run.logits(&units)?;
    let (of_queries, result) = run.losses(&logits)?;
    if contrast.with_gradient {
        let (partial, spans) = run.pull(&logits, &scales, &of_queries)?;
        run.join(&partial, spans, [&units, &norms, &result])?;
    }
    Ok((result, (len, width).into()))
}

/// What all launches take.
struct Run<'a> {
    contrast: &'a MemoryContrast,
    gpu: &'a dyn Gpu,
    queries: DeviceArray<'a>,
    bank: DeviceTensor,
    filled: DeviceTensor,
    classes: DeviceTensor,
    len: usize,
    rows: usize,
    length: usize,
    dim: usize,
    /// Numbers of the result for each query.
    width: usize,
}

impl<'a> Run<'a> {
    fn new(contrast: &'a MemoryContrast, gpu: &'a dyn Gpu, queries: DeviceArray<'a>) -> Result<Self> {
        let (classes, length, dim) = contrast.bank.dims3()?;
        Ok(Self {
            contrast,
            gpu,
            queries,
            bank: array(&contrast.bank)?,
            filled: array(&contrast.filled_there)?,
            classes: array(&contrast.classes_there)?,
            len: queries.dims[0],
            rows: classes * length,
            length,
            dim,
            width: if contrast.with_gradient { 2 + 2 * dim } else { 2 },
        })
    }

    fn alloc(&self, len: usize) -> Result<Buffer> {
        self.gpu.alloc(self.queries.dtype, len)
    }

    fn launch(&self, name: String, blocks: [usize; 3], threads: usize, arguments: &[Arg]) -> Result<()> {
        self.gpu.launch(&Launch { module: "memory_contrast", name: name.into(), blocks, threads, shared: 0, arguments })
    }

    fn of_sums(&self, name: &str) -> Result<String> {
        Ok(format!("memory_{name}_{}", suffix(self.queries.dtype)?))
    }

    fn of_bank(&self, name: &str) -> Result<String> {
        Ok(format!("memory_{name}_{}", suffix(self.contrast.bank.dtype())?))
    }

    fn temperature(&self) -> Arg {
        Arg::F64(self.contrast.spec.temperature)
    }

    fn clamp(&self) -> Arg {
        Arg::F64(self.contrast.spec.clamp_min)
    }

    fn units(&self) -> Result<(Buffer, Buffer)> {
        let (units, norms) = (self.alloc(self.len * self.dim)?, self.alloc(self.len)?);
        let arguments = [
            self.queries.pointer(),
            units.pointer(),
            norms.pointer(),
            Arg::size(self.dim)?,
            Arg::F64(NORMALIZE_EPSILON),
        ];
        self.launch(self.of_sums("units")?, [self.len, 1, 1], THREADS, &arguments)?;
        Ok((units, norms))
    }

    /// `(P, rows)`, and one over the length of each row.
    fn logits(&self, units: &Buffer) -> Result<(Buffer, Buffer)> {
        let (logits, scales) = (self.alloc(self.len * self.rows)?, self.alloc(self.rows)?);
        let arguments = [
            self.bank.pointer(),
            units.pointer(),
            self.filled.pointer(),
            logits.pointer(),
            scales.pointer(),
            Arg::U64(self.rows as u64),
            Arg::size(self.length)?,
            Arg::size(self.len)?,
            Arg::size(self.dim)?,
            self.temperature(),
            Arg::F64(NORMALIZE_EPSILON),
        ];
        self.launch(self.of_bank("logits")?, blocks(self.rows * 32, THREADS), THREADS, &arguments)?;
        Ok((logits, scales))
    }

    /// What the gradients need of each query, and the result with its losses.
    fn losses(&self, logits: &Buffer) -> Result<(Buffer, Buffer)> {
        let (of_queries, result) = (self.alloc(self.len * OF_QUERY)?, self.alloc(self.len * self.width)?);
        let arguments = [
            logits.pointer(),
            self.filled.pointer(),
            self.classes.pointer(),
            of_queries.pointer(),
            result.pointer(),
            Arg::U64(self.rows as u64),
            Arg::size(self.length)?,
            Arg::size(self.width)?,
            self.clamp(),
        ];
        self.launch(self.of_sums("losses")?, [self.len, 1, 1], 4 * THREADS, &arguments)?;
        Ok((of_queries, result))
    }

    /// Weighted sums of the rows, `(spans, 2 P, D)`, and how many spans there are.
    fn pull(&self, logits: &Buffer, scales: &Buffer, of_queries: &Buffer) -> Result<(Buffer, usize)> {
        let outputs = 2 * self.len * self.dim;
        let most = (PARTIAL_NUMBERS / outputs.max(1)).clamp(1, SPANS);
        let span = self.rows.div_ceil(most).max(1);
        let spans = self.rows.div_ceil(span);
        let partial = self.alloc(spans * outputs)?;
        let arguments = [
            self.bank.pointer(),
            logits.pointer(),
            scales.pointer(),
            self.filled.pointer(),
            self.classes.pointer(),
            of_queries.pointer(),
            partial.pointer(),
            Arg::U64(self.rows as u64),
            Arg::size(self.length)?,
            Arg::size(self.len)?,
            Arg::size(self.dim)?,
            Arg::U64(span as u64),
            self.clamp(),
        ];
        let grid = [self.dim.div_ceil(DIMENSIONS), spans, self.len.div_ceil(QUERIES)];
        self.launch(self.of_bank("pull")?, grid, DIMENSIONS, &arguments)?;
        Ok((partial, spans))
    }

    /// Puts the gradients behind the losses.
    fn join(&self, partial: &Buffer, spans: usize, [units, norms, result]: [&Buffer; 3]) -> Result<()> {
        let arguments = [
            partial.pointer(),
            units.pointer(),
            norms.pointer(),
            result.pointer(),
            Arg::size(spans)?,
            Arg::size(self.len)?,
            Arg::size(self.dim)?,
            Arg::size(self.width)?,
            self.temperature(),
            Arg::F64(NORMALIZE_EPSILON),
        ];
        self.launch(self.of_sums("join")?, [2 * self.len, 1, 1], THREADS, &arguments)
    }
}

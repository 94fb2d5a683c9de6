//! Sizes of a convolution, and its patches: the input as the matrix that the weight multiplies.

use std::ops::Range;

use rayon::prelude::*;

use super::Conv2dSpec;
use crate::error::{Error, Result};
use crate::ops::gemm::Threads;
use crate::ops::kernel::Real;

/// Checked sizes. Channels are those of one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) images: usize,
    pub(super) groups: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel: (usize, usize),
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    spec: Conv2dSpec,
}

impl Geometry {
    pub(super) fn new(x: &[usize], weight: &[usize], spec: Conv2dSpec) -> Result<Self> {
        let shape = |what: &str, expected: String, got: &[usize]| Error::Shape {
            what: format!("conv2d {what}"),
            expected,
            got: got.to_vec(),
        };
        let Conv2dSpec { stride, padding, dilation, groups } = spec;
        for (name, value) in [("stride", stride), ("dilation", dilation), ("groups", groups)] {
            if value == 0 {
                return Err(Error::value(format!("conv2d {name}"), "expected at least 1, got 0"));
            }
        }
        let &[images, channels, height @ (1..), width @ (1..)] = x else {
            return Err(shape("input", "(N, C, h, w), maps not empty".to_string(), x));
        };
        let expected = format!("(multiple of {groups}, {channels}/{groups}, 1.., 1..)");
        let &[out_channels, inputs, kernel_height, kernel_width] = weight else {
            return Err(shape("weight", expected, weight));
        };
        let fits = inputs * groups == channels && out_channels % groups == 0;
        if !fits || [inputs, out_channels, kernel_height, kernel_width].contains(&0) {
            return Err(shape("weight", expected, weight));
        }
        let out = |size: usize, kernel: usize| {
            let reach = dilation * (kernel - 1) + 1;
            (size + 2 * padding).checked_sub(reach).map(|room| room / stride + 1)
        };
        let (Some(out_height), Some(out_width)) = (out(height, kernel_height), out(width, kernel_width)) else {
            let expected = format!("maps of at least the reach of a {kernel_height}x{kernel_width} kernel, {spec:?}");
            return Err(shape("input", expected, x));
        };
        Ok(Self {
            images,
            groups,
            inputs,
            outputs: out_channels / groups,
            height,
            width,
            kernel: (kernel_height, kernel_width),
            out_height,
            out_width,
            spec,
        })
    }

    /// Input pixels of a map.
    pub(super) fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Output positions of a map.
    pub(super) fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Weights of one output and one input channel.
    pub(super) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Weights of one output channel: rows of the patch matrix.
    pub(super) fn depth(&self) -> usize {
        self.inputs * self.taps()
    }

    /// Whether the input itself is the patch matrix.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.spec.stride == 1 && self.spec.padding == 0
    }

    /// The convolution that turns the gradient into that of the input, for a stride of 1: its weight is the weight with
    /// its two channel axes swapped and its taps in reverse. Not for a padding wider than the reach of the kernel.
    pub(super) fn reversed(&self) -> Option<Self> {
        let (kernel_height, kernel_width) = self.kernel;
        let reach = self.spec.dilation * (kernel_height - 1);
        if self.spec.stride > 1 || kernel_height != kernel_width || self.spec.padding > reach {
            return None;
        }
        Some(Self {
            inputs: self.outputs,
            outputs: self.inputs,
            height: self.out_height,
            width: self.out_width,
            out_height: self.height,
            out_width: self.width,
            spec: Conv2dSpec { padding: reach - self.spec.padding, ..self.spec },
            ..*self
        })
    }

    /// Output rows in blocks of about so many positions.
    pub(super) fn row_blocks(&self, positions: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (all, rows) = (self.out_height, (positions / self.out_width.max(1)).max(1));
        // Equal blocks rather than a small last one.
        let rows = all.div_ceil(all.div_ceil(rows).max(1)).max(1);
        (0..all).step_by(rows).map(move |start| start..(start + rows).min(all))
    }

    /// Output indices whose input lies inside the map, for one tap along one axis.
    fn inside(&self, tap: usize, size: usize, out: usize) -> Range<usize> {
        let Conv2dSpec { stride, padding, dilation, .. } = self.spec;
        // input = output * stride + offset - padding
        let offset = tap * dilation;
        let start = padding.saturating_sub(offset).div_ceil(stride).min(out);
        let end = (size + padding).saturating_sub(offset).div_ceil(stride).min(out);
        start..end.max(start)
    }

    /// The patches of output rows: `patches[(channel * taps + tap)][position]`, zeros outside the map.
    pub(super) fn gather<T: Real>(&self, threads: Threads, x: &[T], rows: &Range<usize>, patches: &mut [T]) {
        let len = self.taps() * rows.len() * self.out_width;
        let work = |(x, patches): (&[T], &mut [T])| self.gather_channel(x, rows, patches);
        match threads {
            Threads::One => x.chunks_exact(self.plane()).zip(patches.chunks_exact_mut(len)).for_each(work),
            Threads::Pool => x.par_chunks_exact(self.plane()).zip(patches.par_chunks_exact_mut(len)).for_each(work),
        }
    }

    fn gather_channel<T: Real>(&self, x: &[T], rows: &Range<usize>, patches: &mut [T]) {
        let (columns, stride) = (self.out_width, self.spec.stride);
        for (tap, patch) in patches.chunks_exact_mut(rows.len() * columns).enumerate() {
            let Meeting { valid, across, start } = self.meeting(tap, rows);
            patch[..(valid.start - rows.start) * columns].fill(T::zero());
            patch[(valid.end - rows.start) * columns..].fill(T::zero());
            let lines = &mut patch[(valid.start - rows.start) * columns..(valid.end - rows.start) * columns];
            for (i, line) in lines.chunks_exact_mut(columns).enumerate() {
                line[..across.start].fill(T::zero());
                line[across.end..].fill(T::zero());
                let line = &mut line[across.clone()];
                let source = &x[start + i * stride * self.width..];
                if stride == 1 {
                    line.copy_from_slice(&source[..line.len()]);
                } else {
                    for (value, &source) in line.iter_mut().zip(source.iter().step_by(stride)) {
                        *value = source;
                    }
                }
            }
        }
    }

    /// Adds the patches of output rows to the map they were gathered from.
    pub(super) fn scatter<T: Real>(&self, threads: Threads, patches: &[T], rows: &Range<usize>, x: &mut [T]) {
        let len = self.taps() * rows.len() * self.out_width;
        let work = |(x, patches): (&mut [T], &[T])| self.scatter_channel(patches, rows, x);
        match threads {
            Threads::One => x.chunks_exact_mut(self.plane()).zip(patches.chunks_exact(len)).for_each(work),
            Threads::Pool => x.par_chunks_exact_mut(self.plane()).zip(patches.par_chunks_exact(len)).for_each(work),
        }
    }

    fn scatter_channel<T: Real>(&self, patches: &[T], rows: &Range<usize>, x: &mut [T]) {
        let (columns, stride) = (self.out_width, self.spec.stride);
        for (tap, patch) in patches.chunks_exact(rows.len() * columns).enumerate() {
            let Meeting { valid, across, start } = self.meeting(tap, rows);
            let lines = &patch[(valid.start - rows.start) * columns..(valid.end - rows.start) * columns];
            for (i, line) in lines.chunks_exact(columns).enumerate() {
                let target = &mut x[start + i * stride * self.width..];
                for (target, &value) in target.iter_mut().step_by(stride).zip(&line[across.clone()]) {
                    *target += value;
                }
            }
        }
    }

    /// Where a tap meets the map, within some output rows.
    fn meeting(&self, tap: usize, rows: &Range<usize>) -> Meeting {
        let Conv2dSpec { stride, padding, dilation, .. } = self.spec;
        let (vertical, horizontal) = (tap / self.kernel.1, tap % self.kernel.1);
        let across = self.inside(horizontal, self.width, self.out_width);
        let down = self.inside(vertical, self.height, self.out_height);
        let (first, last) = (down.start.max(rows.start), down.end.min(rows.end));
        if across.is_empty() || first >= last {
            return Meeting { valid: rows.start..rows.start, across: 0..0, start: 0 };
        }
        let y = first * stride + vertical * dilation - padding;
        let x = across.start * stride + horizontal * dilation - padding;
        Meeting { valid: first..last, across, start: y * self.width + x }
    }
}

/// The outputs for which a tap lies on the map, and the pixel below the first of them.
struct Meeting {
    valid: Range<usize>,
    across: Range<usize>,
    start: usize,
}

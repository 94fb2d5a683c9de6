//! CPU code of the bilinear interpolation, a vector at a time: along the rows first and then between them, or between them
//! first where there are fewer of the result.
//!
//! Deterministic: one thread per plane, contributions to a source pixel added in the order of the output pixels.

use candle_core::{Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};

use super::Corners;
use super::device::{self, Sizes};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, GRAIN, Kernel, Real, detached1};

#[derive(Clone, Copy)]
pub(super) struct Bilinear {
    pub(super) size: (usize, usize),
    pub(super) corners: Corners,
}

impl Kernel<1> for Bilinear {
    const NAME: &'static str = "resize_bilinear";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, c, h, w] = x.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        let (height, width) = self.size;
        let (rows, columns) = (taps::<T>(h, height, self.corners), Columns::new(&taps::<T>(w, width, self.corners)));
        let (area, grain) = (height * width, GRAIN.div_ceil(height * width));
        let lines = || Lines::new(if height < h { w } else { width });
        let y = filled(n * c * area, area, grain, lines, |lines, plane, y| {
            let x = &x.values[plane * h * w..][..h * w];
            Arch::new().dispatch(Plane { x, w, rows: &rows, columns: &columns, lines, y, width });
        });
        Ok((y, (n, c, height, width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        let &[_, _, h, w] = x.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        device::bilinear(Sizes { from: (h, w), to: self.size }, self.corners, false, gpu, x)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        let (_, _, h, w) = x.dims4()?;
        Ok([Some(detached1(Gradient { size: (h, w), corners: self.corners }, grad)?)])
    }
}

/// The transposed map, from the gradient to the gradient of the source of this size.
struct Gradient {
    size: (usize, usize),
    corners: Corners,
}

impl Kernel<1> for Gradient {
    const NAME: &'static str = "resize_bilinear gradient";

    fn forward<T: Real>(&self, [grad]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, c, height, width] = grad.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        let (h, w) = self.size;
        let (rows, columns) = (taps::<T>(h, height, self.corners), Columns::new(&taps::<T>(w, width, self.corners)));
        let grain = GRAIN.div_ceil(height * width);
        let result = filled(
            n * c * h * w,
            h * w,
            grain,
            || vec![T::zero(); w],
            |line, plane, result| {
                let grad = &grad.values[plane * height * width..][..height * width];
                Arch::new().dispatch(PlaneGradient { grad, width, rows: &rows, columns: &columns, line, result });
            },
        );
        Ok((result, (n, c, h, w).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        let &[_, _, height, width] = grad.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        device::bilinear(Sizes { from: self.size, to: (height, width) }, self.corners, true, gpu, grad)
    }
}

/// The two source positions of an output position, along one axis.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Taps<T> {
    pub(in crate::ops) low: usize,
    pub(in crate::ops) high: usize,
    pub(in crate::ops) low_weight: T,
    pub(in crate::ops) high_weight: T,
}

impl<T: Real> Taps<T> {
    #[inline(always)]
    pub(in crate::ops) fn between(&self, low: T, high: T) -> T {
        self.low_weight * low + self.high_weight * high
    }

    #[inline(always)]
    fn lines_between(&self, low: &[T], high: &[T], result: &mut [T]) {
        for ((result, &low), &high) in result.iter_mut().zip(low).zip(high) {
            *result = self.between(low, high);
        }
    }

    pub(in crate::ops) fn of(&self, line: &[T]) -> T {
        self.between(line[self.low], line[self.high])
    }

    pub(in crate::ops) fn add(&self, line: &mut [T], value: T) {
        line[self.low] += value * self.low_weight;
        line[self.high] += value * self.high_weight;
    }
}

/// The taps along a row.
struct Columns<T>(Vec<([u32; 2], [T; 2])>);

impl<T: Real> Columns<T> {
    fn new(taps: &[Taps<T>]) -> Self {
        let packed = |tap: &Taps<T>| ([tap.low as u32, tap.high as u32], [tap.low_weight, tap.high_weight]);
        Self(taps.iter().map(packed).collect())
    }

    #[inline(always)]
    fn read(&self, source: &[T], line: &mut [T]) {
        for (value, ([low, high], [low_weight, high_weight])) in line.iter_mut().zip(&self.0) {
            *value = *low_weight * source[*low as usize] + *high_weight * source[*high as usize];
        }
    }

    #[inline(always)]
    fn add(&self, grad: &[T], line: &mut [T]) {
        for (&grad, ([low, high], [low_weight, high_weight])) in grad.iter().zip(&self.0) {
            line[*low as usize] += grad * *low_weight;
            line[*high as usize] += grad * *high_weight;
        }
    }
}

/// A plane at another size.
struct Plane<'a, T> {
    x: &'a [T],
    w: usize,
    rows: &'a [Taps<T>],
    columns: &'a Columns<T>,
    lines: &'a mut Lines<T>,
    y: &'a mut [T],
    width: usize,
}

impl<T: Real> WithSimd for Plane<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, w, rows, columns, lines, y, width } = self;
        let source = |row: usize| &x[row * w..][..w];
        if rows.len() < x.len() / w {
            // Of whole rows that are read one after the other, the memory has several on the way at a time.
            lines.values[1].resize(x.len(), T::zero());
            lines.values[1].copy_from_slice(x);
            for (y, row) in y.chunks_exact_mut(width).zip(rows) {
                let [line, copy] = &mut lines.values;
                row.lines_between(&copy[row.low*w..][..w], &copy[row.high*w..][..w], line);
                columns.read(&lines.values[0], y);
            }
            return;
        }
        lines.forget();
        for (y, row) in y.chunks_exact_mut(width).zip(rows) {
            if lines.sources[0] != row.low && lines.sources[1] == row.low {
                lines.sources.swap(0, 1);
                lines.values.swap(0, 1);
            }
            for (i, at) in [row.low, row.high].into_iter().enumerate() {
                if lines.sources[i] != at {
                    columns.read(source(at), &mut lines.values[i]);
                    lines.sources[i] = at;
                }
            }
            row.lines_between(&lines.values[0], &lines.values[1], y);
        }
    }
}

/// The gradient of a plane.
struct PlaneGradient<'a, T> {
    grad: &'a [T],
    width: usize,
    rows: &'a [Taps<T>],
    columns: &'a Columns<T>,
    line: &'a mut [T],
    result: &'a mut [T],
}

impl<T: Real> WithSimd for PlaneGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad, width, rows, columns, line, result } = self;
        let w = line.len();
        result.fill(T::zero());
        for (grad, row) in grad.chunks_exact(width).zip(rows) {
            line.fill(T::zero());
            columns.add(grad, line);
            for (at, weight) in [(row.low, row.low_weight), (row.high, row.high_weight)] {
                for (result, &value) in result[at * w..][..w].iter_mut().zip(line.iter()) {
                    *result += value * weight;
                }
            }
        }
    }
}

/// The two source rows that an output row lies between, interpolated along themselves; where a map is made larger, the next
/// output row lies between the same two, or one of them. Where it is made smaller, only the first is used, for the row between
/// two of the source.
struct Lines<T> {
    values: [Vec<T>; 2],
    sources: [usize; 2],
}

impl<T: Real> Lines<T> {
    fn new(width: usize) -> Self {
        Self { values: [vec![T::zero(); width], vec![T::zero(); width]], sources: [usize::MAX; 2] }
    }

    /// Before the next plane.
    #[inline(always)]
    fn forget(&mut self) {
        self.sources = [usize::MAX; 2];
    }
}

/// From an output position with aligned corners to the next, in the source.
pub(in crate::ops) fn step(input: usize, output: usize) -> f64 {
    if output > 1 { (input - 1) as f64 / (output - 1) as f64 } else { 0.0 }
}

/// Positions are computed in float64 whatever the type of the map, in the order of PyTorch's operations.
pub(in crate::ops) fn taps<T: Real>(input: usize, output: usize, corners: Corners) -> Vec<Taps<T>> {
    let position = |i: usize| match corners {
        Corners::Aligned => step(input, output) * i as f64,
        Corners::HalfPixel => (input as f64 / output as f64 * (i as f64 + 0.5) - 0.5).max(0.0),
    };
    let tap = |i: usize| {
        let position = position(i);
        let low = (position as usize).min(input - 1);
        let high_weight = (position - low as f64).min(1.0);
        Taps {
            low,
            high: (low + 1).min(input - 1),
            low_weight: T::from_f64(1.0 - high_weight),
            high_weight: T::from_f64(high_weight),
        }
    };
    (0..output).map(tap).collect()
}

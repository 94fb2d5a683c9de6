//! Where a convolution finds its input: maps with zeros around them, in which every tap lies at a fixed distance.
//!
//! A stride cuts the input into as many maps as there are remainders, so that neighbours in the result are neighbours in
//! what is read. The gradient of the input is such a convolution of what comes back for each remainder of its pixels.

use std::ops::Range;

use super::geometry::Geometry;

/// A convolution of stride 1, or several that make up one result.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) parts: Vec<Part>,
    /// Channels read, of a group.
    pub(super) channels: usize,
    /// Channels written, of a group.
    pub(super) results: usize,
    /// Positions of a written map.
    pub(super) plane: usize,
    /// Distance in the weight from one written channel to the next.
    pub(super) result_step: usize,
    /// Distance in the weight from one read channel to the next.
    pub(super) channel_step: usize,
}

/// How a map is laid out: zeros around it, cut by the remainders of its rows and columns.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    height: usize,
    width: usize,
    /// Remainders along an axis.
    split: usize,
    top: usize,
    left: usize,
    rows: usize,
    /// Distance from one row to the next.
    pub(super) pitch: usize,
    /// Place of the map of a remainder of rows and columns, for those that are read.
    places: Vec<Option<usize>>,
}

/// The positions of a result that the same taps belong to.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Those that meet the map, in their order.
    pub(super) taps: Vec<Tap>,
    /// Place of its first position in the result, and the steps from row to row and from column to column.
    pub(super) first: usize,
    pub(super) row_step: usize,
    pub(super) column_step: usize,
}

/// A weight of the kernel.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    /// Its place in the kernel.
    pub(super) place: usize,
    /// Its distance in the layout.
    pub(super) offset: usize,
    /// Rows and columns of the part for which it meets the map.
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Plan {
    /// From the input to the result.
    pub(super) fn forward(geometry: &Geometry) -> Self {
        let (height, width) = geometry.input_size();
        let (rows, columns) = geometry.output_size();
        let (stride, dilation, padding) = (geometry.spec.stride, geometry.spec.dilation, geometry.spec.padding);
        // input = result * stride + tap * dilation - padding
        let meets = |tap: usize, size: usize, out: usize| {
            let bound = |edge: usize| edge.saturating_sub(tap * dilation).div_ceil(stride).min(out);
            bound(padding)..bound(size + padding)
        };
        let mut places = vec![None; stride * stride];
        let mut used = 0;
        let mut met = Vec::new();
        for tap in 0..geometry.taps() {
            let (down, across) = (tap / geometry.kernel.1, tap % geometry.kernel.1);
            let (meets_down, meets_across) = (meets(down, height, rows), meets(across, width, columns));
            if meets_down.is_empty() || meets_across.is_empty() {
                continue;
            }
            let (down, across) = (down * dilation, across * dilation);
            let place = *places[down % stride * stride + across % stride].get_or_insert_with(|| {
                used += 1;
                used - 1
            });
            met.push((tap, place, down / stride, across / stride, meets_down, meets_across));
        }
        let layout = Layout {
            height,
            width,
            split: stride,
            top: padding,
            left: padding,
            rows: (height + 2 * padding).div_ceil(stride),
            pitch: if stride == 1 { columns.max(width + padding) } else { (width + 2 * padding).div_ceil(stride) },
            places,
        };
        let taps = met.into_iter().map(|(tap, place, down, across, rows, columns)| {
            let offset = (place * layout.rows + down) * layout.pitch + across;
            Tap { place: tap, offset, rows, columns }
        });
        let part = Part { rows, columns, taps: taps.collect(), first: 0, row_step: columns, column_step: 1 };
        Self {
            parts: vec![part],
            layout,
            channels: geometry.inputs,
            results: geometry.outputs,
            plane: rows * columns,
            result_step: geometry.depth(),
            channel_step: geometry.taps(),
        }
    }

    /// From the gradient of the result to that of the input.
    pub(super) fn backward(geometry: &Geometry) -> Self {
        let (height, width) = geometry.input_size();
        let (out_height, out_width) = geometry.output_size();
        let stride = geometry.spec.stride;
        let down = Reach::new(geometry, height, out_height, geometry.kernel.0);
        let across = Reach::new(geometry, width, out_width, geometry.kernel.1);
        let (top, left) = (down.before(), across.before());
        let rows = top + out_height.max(down.end);
        // A row's right margin is the next one's left, as far as that goes.
        let pitch = (out_width + left.max(across.end.saturating_sub(out_width))).max(width.div_ceil(stride));
        let layout =
            Layout { height: out_height, width: out_width, split: 1, top, left, rows, pitch, places: vec![Some(0)] };
        let mut parts = Vec::new();
        for (a, vertical) in down.taps.iter().enumerate() {
            for (b, horizontal) in across.taps.iter().enumerate() {
                let (rows, columns) = ((height - a).div_ceil(stride), (width - b).div_ceil(stride));
                let mut taps = Vec::new();
                // Backwards, so that their distances grow.
                for &(i, row) in vertical.iter().rev() {
                    for &(j, column) in horizontal.iter().rev() {
                        let down = row.saturating_add_unsigned(top).unsigned_abs();
                        let across = column.saturating_add_unsigned(left).unsigned_abs();
                        taps.push(Tap {
                            place: i * geometry.kernel.1 + j,
                            offset: down * pitch + across,
                            rows: inside(row, out_height, rows),
                            columns: inside(column, out_width, columns),
                        });
                    }
                }
                parts.push(Part {
                    rows,
                    columns,
                    taps,
                    first: a * width + b,
                    row_step: stride * width,
                    column_step: stride,
                });
            }
        }
        Self {
            layout,
            parts,
            channels: geometry.outputs,
            results: geometry.inputs,
            plane: height * width,
            result_step: geometry.taps(),
            channel_step: geometry.depth(),
        }
    }
}

/// Numbers below `count` to which `from` can be added for something below `out`.
fn inside(from: isize, out: usize, count: usize) -> Range<usize> {
    let end = out.saturating_add_signed(-from).min(count);
    0usize.saturating_add_signed(-from).min(end)..end
}

/// Along one axis of the input, for each remainder of its pixels: the taps that lead to it, and which result, seen from
/// the pixel's own number, each comes from.
struct Reach {
    taps: Vec<Vec<(usize, isize)>>,
    /// One behind the last result that is read, from the first one on.
    end: usize,
}

impl Reach {
    fn new(geometry: &Geometry, size: usize, out: usize, kernel: usize) -> Self {
        let (stride, dilation, padding) = (geometry.spec.stride, geometry.spec.dilation, geometry.spec.padding);
        let mut end = 0;
        let taps = (0..stride.min(size)).map(|remainder| {
            let count = (size - remainder).div_ceil(stride) as isize;
            let led = (0..kernel).filter_map(|tap| {
                let distance = (remainder + padding) as isize - (tap * dilation) as isize;
                let from = distance.div_euclid(stride as isize);
                let meets = distance % stride as isize == 0 && from < out as isize && from + count > 0;
                meets.then_some((tap, from))
            });
            let led: Vec<_> = led.collect();
            end = led.iter().map(|(_, from)| (from + count) as usize).fold(end, usize::max);
            led
        });
        let taps = taps.collect();
        Self { taps, end }
    }

    /// Zeros before the first result.
    fn before(&self) -> usize {
        let least = self.taps.iter().flatten().map(|(_, from)| *from).min().unwrap_or(0);
        least.min(0).unsigned_abs()
    }
}

impl Layout {
    /// Numbers of a map in the layout.
    pub(super) fn len(&self) -> usize {
        self.places.iter().flatten().count() * self.rows * self.pitch
    }

    /// Zeros that must follow the last map: its last row's right margin is the left one of no other.
    pub(super) fn margin(&self) -> usize {
        self.pitch
    }

    /// Numbers of a map as it is.
    pub(super) fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Whether a map is the same in the layout.
    pub(super) fn is_plain(&self) -> bool {
        self.split == 1 && self.rows == self.height && self.pitch == self.width
    }

    /// Lays out a map; `values` has zeros where the layout has.
    #[inline(always)]
    pub(super) fn fill<T: Copy>(&self, map: &[T], values: &mut [T], change: impl Fn(T) -> T) {
        for (row, line) in map.chunks_exact(self.width).enumerate() {
            let row = row + self.top;
            for remainder in 0..self.split {
                let Some(place) = self.places[row % self.split * self.split + remainder] else { continue };
                let start = (place * self.rows + row / self.split) * self.pitch;
                // The first column with this remainder, counted with the margin.
                let skipped = (remainder + self.split - self.left % self.split) % self.split;
                let target = &mut values[start + (self.left + skipped) / self.split..];
                if self.split == 1 {
                    for (target, &value) in target.iter_mut().zip(line) {
                        *target = change(value);
                    }
                } else {
                    let line = &line[skipped.min(line.len())..];
                    for (target, values) in target.iter_mut().zip(line.chunks(self.split)) {
                        *target = change(values[0]);
                    }
                }
            }
        }
    }
}

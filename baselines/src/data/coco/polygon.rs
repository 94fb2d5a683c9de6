//! Polygons to runs of pixels, exactly as the COCO API draws them.
//!
//! The API rounds corners to fifths of a pixel, walks every edge in steps of a fifth along its longer side, and notes
//! where the walk passes the middle of a column of pixels. Each such place switches the pixels below it on or off.
//! Here the places are computed without the walk: an edge passes a column once, and only columns of the image count.
//! A polygon far larger than its image costs no more than one that fits.

use std::ops::Range;

/// Steps a pixel is divided into.
const STEPS: i32 = 5;

/// The largest coordinate of a corner, either way: beyond it the sums here could lose the last bit.
pub(super) const MAX_COORDINATE: f64 = 1e6;

/// A coordinate in fifths of a pixel.
pub(super) fn quantize(coordinate: f64) -> i32 {
    truncate(f64::from(STEPS) * coordinate + 0.5)
}

/// Rounds towards zero as a cast in C does; negative halves go the other way than positive ones.
fn truncate(value: f64) -> i32 {
    value as i32
}

/// Appends the runs of pixels inside a polygon, as places in the image counted column by column.
///
/// `places` is room for intermediate results. Corners are in fifths of a pixel; `height * width` is below 2^32.
pub(super) fn runs_of_polygon(
    corners: &[[i32; 2]],
    (height, width): (usize, usize),
    places: &mut Vec<usize>,
    mut draw: impl FnMut(Range<usize>),
) {
    places.clear();
    let image = Image { height, width };
    for (index, &from) in corners.iter().enumerate() {
        let to = corners[(index + 1) % corners.len()];
        image.crossings(from, to, places);
    }
    // A place noted twice switches twice. Runs of no length are what is left of it.
    places.sort_unstable();
    let end = height * width;
    for pair in places.chunks(2) {
        let run = pair[0]..pair.get(1).copied().unwrap_or(end);
        if !run.is_empty() {
            draw(run);
        }
    }
}

/// Crossings that polygons may have however small their image is.
const ALWAYS_ALLOWED: usize = 1 << 20;

/// Whether the polygons of an annotation cross few enough columns to be drawn: drawing keeps every crossing.
///
/// Edges that do not lie on each other cross columns in different places, so no shape crosses more often than its image
/// has pixels, but for one that goes to and fro.
pub(super) fn check_crossings(corners: &[[i32; 2]], ends: &[u32], size: (usize, usize)) -> Result<(), String> {
    let (height, width) = size;
    let most = (height * width).max(ALWAYS_ALLOWED);
    if corners.len().saturating_mul(width) <= most {
        return Ok(());
    }
    let image = Image { height, width };
    let (mut start, mut crossings) = (0, 0_usize);
    for &end in ends {
        let polygon = &corners[start..end as usize];
        for (from, to) in polygon.iter().zip(polygon.iter().cycle().skip(1)) {
            crossings = crossings.saturating_add(image.columns(from[0].min(to[0]), from[0].max(to[0])).len());
        }
        start = end as usize;
    }
    if crossings <= most {
        return Ok(());
    }
    Err(format!(
        "polygons that cross columns of pixels {crossings} times, expected at most {most} for {height} x {width}"
    ))
}

struct Image {
    height: usize,
    width: usize,
}

impl Image {
    // Where an edge passes the middles of columns.
    fn crossings(&self, from: [i32; 2], to: [i32; 2], places: &mut Vec<usize>) {
        let (dx, dy) = ((to[0] - from[0]).abs(), (to[1] - from[1]).abs());
        let is_flat = dx >= dy;
        let flip = if is_flat { from[0] > to[0] } else { from[1] > to[1] };
        let ([x0, y0], [x1, y1]) = if flip { (to, from) } else { (from, to) };
        let (left, right) = (x0.min(x1), x0.max(x1));
        for column in self.columns(left, right) {
            // The step before the middle of the column; the next is behind it.
            let before = column as i32 * STEPS + STEPS / 2;
            let y = if is_flat {
                let slope = f64::from(y1 - y0) / f64::from(dx);
                let at = |step: i32| truncate(f64::from(y0) + slope * f64::from(step) + 0.5);
                at(before - x0).min(at(before - x0 + 1))
            } else {
                let slope = f64::from(x1 - x0) / f64::from(dy);
                let at = |step: i32| truncate(f64::from(x0) + slope * f64::from(step) + 0.5);
                y0 + first_behind(before, x0, slope, dy, at) - 1
            };
            places.push(column * self.height + self.row(y));
        }
    }

    // Columns whose middle lies between two places, in fifths of a pixel.
    fn columns(&self, left: i32, right: i32) -> Range<usize> {
        let middle = STEPS / 2;
        let first = ceil_div(left - middle).max(0) as usize;
        let end = ceil_div(right - middle).max(0) as usize;
        first..end.min(self.width)
    }

    // The first row whose middle is not above a place.
    fn row(&self, y: i32) -> usize {
        (ceil_div(y - STEPS / 2).max(0) as usize).min(self.height)
    }
}

// The first step of a steep edge on the other side of `before`, which is one the edge begins or ends with.
fn first_behind(before: i32, x0: i32, slope: f64, steps: i32, at: impl Fn(i32) -> i32) -> i32 {
    let is_behind = |step: i32| if slope > 0.0 { at(step) > before } else { at(step) <= before };
    // Where the line is half way between the two. Rounding may be off by one; what decides is the walk's own formula.
    let guess = (f64::from(before) + 0.5 - f64::from(x0)) / slope;
    let mut step = truncate(guess).clamp(1, steps);
    while step > 1 && is_behind(step - 1) {
        step -= 1;
    }
    while step < steps && !is_behind(step) {
        step += 1;
    }
    step
}

fn ceil_div(fifths: i32) -> i32 {
    fifths.div_euclid(STEPS) + i32::from(fifths.rem_euclid(STEPS) != 0)
}

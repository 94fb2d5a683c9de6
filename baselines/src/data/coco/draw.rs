//! Annotations drawn over each other.

use std::ops::Range;

use crate::data::coco::config::Overlap;
use crate::data::coco::json::Segmentation;
use crate::data::coco::polygon::runs_of_polygon;
use crate::data::coco::run_length::{parse_characters, runs_of_lengths};
use crate::data::mask::{BACKGROUND, Mask, VOID};

/// What an annotation is drawn with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    /// A class, from 0.
    Class(u8),
    Void,
}

/// A mask in the making, column by column as COCO counts pixels: runs are stretches of memory.
pub(super) struct Canvas {
    height: usize,
    width: usize,
    values: Vec<u8>,
    /// Which annotation, from 1, covers a pixel, 0 none; where pixels of two are void.
    owners: Option<Vec<u32>>,
    num_drawn: u32,
    places: Vec<usize>,
}

impl Canvas {
    /// All background. The caller has looked at the size.
    pub(super) fn new(height: usize, width: usize, overlap: Overlap) -> Self {
        let len = height * width;
        let owners = (overlap == Overlap::Void).then(|| vec![0; len]);
        Self { height, width, values: vec![BACKGROUND; len], owners, num_drawn: 0, places: Vec::new() }
    }

    /// Draws an annotation over what is there: the union of its polygons, or its runs.
    ///
    /// # Errors
    /// What is wrong with it; nothing if it was checked.
    pub(super) fn draw(&mut self, segmentation: &Segmentation, paint: Paint) -> Result<(), String> {
        let value = match paint {
            Paint::Class(class) => class + 1,
            Paint::Void => VOID,
        };
        self.num_drawn += 1;
        let number = self.num_drawn;
        let Self { height, width, values, owners, places, .. } = self;
        let mut fill = |run: Range<usize>| match owners {
            None => values[run].fill(value),
            Some(owners) => {
                for (pixel, owner) in values[run.clone()].iter_mut().zip(&mut owners[run]) {
                    *pixel = if *owner == 0 || *owner == number { value } else { VOID };
                    *owner = if *owner == 0 { number } else { *owner };
                }
            }
        };
        match segmentation {
            Segmentation::Polygons { points, ends } => {
                let mut start = 0;
                for &end in ends {
                    let corners = &points[start..end as usize];
                    runs_of_polygon(corners, (*height, *width), places, &mut fill);
                    start = end as usize;
                }
            }
            Segmentation::Runs { lengths, .. } => runs_of_lengths(lengths.iter().copied(), fill),
            Segmentation::Text { characters, .. } => runs_of_lengths(parse_characters(characters)?, fill),
            Segmentation::Defect(reason) => return Err(reason.to_string()),
        }
        Ok(())
    }

    /// The mask, row by row.
    pub(super) fn into_mask(self) -> Mask {
        let Self { height, width, values, .. } = self;
        Mask { width, height, data: transposed(&values, height, width) }
    }
}

/// Side of the squares that are turned one after the other: few enough bytes of few enough lines to stay in the cache.
const SQUARE: usize = 32;

fn transposed(columns: &[u8], height: usize, width: usize) -> Vec<u8> {
    let mut rows = vec![0; columns.len()];
    for top in (0..height).step_by(SQUARE) {
        let bottom = (top + SQUARE).min(height);
        for left in (0..width).step_by(SQUARE) {
            let right = (left + SQUARE).min(width);
            for y in top..bottom {
                let row = &mut rows[y * width + left..y * width + right];
                let column = columns[left * height + y..].iter().step_by(height);
                for (to, &from) in row.iter_mut().zip(column) {
                    *to = from;
                }
            }
        }
    }
    rows
}

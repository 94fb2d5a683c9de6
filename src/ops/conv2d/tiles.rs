//! Results in tiles: so many neighbours as a few vectors hold.

use std::ops::Range;

use super::plan::{Layout, Part};

/// Vectors of a tile at most.
pub(super) const VECTORS: usize = 3;

/// Results computed side by side.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    /// Place of what its first lane reads for a tap at distance 0, where neighbours are read in place.
    pub(super) source: usize,
    pub(super) vectors: usize,
    /// Taps of the part that meet the map for one of its rows.
    pub(super) taps: Range<usize>,
    runs: Range<usize>,
}

/// Lanes of a tile that belong to one row of the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) lane: usize,
    pub(super) len: usize,
    pub(super) image: usize,
    /// Place of what its first lane reads, in the layout of all images.
    pub(super) source: usize,
    /// Place of its first lane in the result's map, and the step to the next.
    pub(super) target: usize,
    pub(super) step: usize,
}

/// The tiles of a part for some images.
#[derive(Clone, Debug, Default)]
pub(super) struct Tiling {
    pub(super) tiles: Vec<Tile>,
    runs: Vec<Run>,
}

impl Tiling {
    pub(super) fn runs(&self, tile: &Tile) -> &[Run] {
        &self.runs[tile.runs.clone()]
    }

    /// Tiles as they lie in the layout: the gaps between rows are computed too, and thrown away.
    pub(super) fn in_place(part: &Part, layout: &Layout, images: usize, image_len: usize, lanes: usize) -> Self {
        let mut tiling = Self::default();
        let all = (part.rows - 1) * layout.pitch + part.columns;
        for image in 0..images {
            let mut start = 0;
            while start < all {
                let vectors = vectors_of(all - start, lanes);
                let end = (start + vectors * lanes).min(all);
                let first = tiling.runs.len();
                for row in start / layout.pitch..part.rows.min(end.div_ceil(layout.pitch)) {
                    let row_start = row * layout.pitch;
                    let (from, to) = (start.max(row_start), end.min(row_start + part.columns));
                    if from < to {
                        let columns = from - row_start..to - row_start;
                        let start_of = image * image_len;
                        tiling.runs.push(run(part, layout, start_of, image, row, columns, from - start));
                    }
                }
                let rows = start / layout.pitch..end.div_ceil(layout.pitch);
                if first < tiling.runs.len() {
                    tiling.push(part, image * image_len + start, vectors, first, rows);
                }
                start = end;
            }
        }
        tiling
    }

    /// Tiles of results alone, to be read from a copy without gaps.
    pub(super) fn dense(part: &Part, layout: &Layout, images: usize, image_len: usize, lanes: usize) -> Self {
        let all = part.rows * part.columns;
        if all.next_multiple_of(lanes) - all > all / MOST_EMPTY {
            return Self::dense_together(part, layout, images, image_len, lanes);
        }
        let mut tiling = Self::default();
        for image in 0..images {
            let mut start = 0;
            while start < all {
                let vectors = vectors_of(all - start, lanes);
                let end = (start + vectors * lanes).min(all);
                let first = tiling.runs.len();
                let rows = start / part.columns..end.div_ceil(part.columns);
                for row in rows.clone() {
                    let from = start.max(row * part.columns);
                    let columns = from - row * part.columns..part.columns.min(end - row * part.columns);
                    tiling.runs.push(run(part, layout, image * image_len, image, row, columns, from - start));
                }
                tiling.push(part, 0, vectors, first, rows);
                start = end;
            }
        }
        tiling
    }

    /// The same where a tile may go on with the next image, because so much of the last one would be empty.
    fn dense_together(part: &Part, layout: &Layout, images: usize, image_len: usize, lanes: usize) -> Self {
        let mut tiling = Self::default();
        let (room, mut lane, mut first) = (VECTORS * lanes, 0, 0);
        for (image, row) in (0..images).flat_map(|image| (0..part.rows).map(move |row| (image, row))) {
            let mut column = 0;
            while column < part.columns {
                let len = (part.columns - column).min(room - lane);
                tiling.runs.push(run(part, layout, image * image_len, image, row, column..column + len, lane));
                (column, lane) = (column + len, lane + len);
                if lane == room {
                    tiling.push(part, 0, VECTORS, first, 0..part.rows);
                    (lane, first) = (0, tiling.runs.len());
                }
            }
        }
        if lane > 0 {
            tiling.push(part, 0, lane.div_ceil(lanes), first, 0..part.rows);
        }
        tiling
    }

    /// A tile of the runs since the first.
    fn push(&mut self, part: &Part, source: usize, vectors: usize, first: usize, rows: Range<usize>) {
        let meets = |range: &Range<usize>| range.start < rows.end && rows.start < range.end;
        // Taps are sorted by their rows, so that all between the first and the last meet the map.
        let start = part.taps.iter().position(|tap| meets(&tap.rows)).unwrap_or(0);
        let end = part.taps.iter().rposition(|tap| meets(&tap.rows)).map_or(start, |last| last + 1);
        self.tiles.push(Tile { source, vectors, taps: start..end, runs: first..self.runs.len() });
    }
}

/// The share of an image's tiles that may be empty.
const MOST_EMPTY: usize = 8;

/// Vectors of the next tile: two and two rather than three and one.
fn vectors_of(results: usize, lanes: usize) -> usize {
    match results.div_ceil(lanes) {
        4 => 2,
        left => left.min(VECTORS),
    }
}

fn run(
    part: &Part,
    layout: &Layout,
    start: usize,
    image: usize,
    row: usize,
    columns: Range<usize>,
    lane: usize,
) -> Run {
    Run {
        lane,
        len: columns.len(),
        image,
        source: start + row * layout.pitch + columns.start,
        target: part.first + row * part.row_step + columns.start * part.column_step,
        step: part.column_step,
    }
}

//! Images with one plane a channel, the form in which loops over pixels become vector instructions.

use std::ops::Range;

/// A part of an image: columns and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Region {
    pub(super) const fn whole(width: usize, height: usize) -> Self {
        Self { columns: 0..width, rows: 0..height }
    }
}

/// Channels of 8 bit, one behind the other, each row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    data: Vec<u8>,
}

impl Planes {
    pub(super) fn zeros(width: usize, height: usize, channels: usize) -> Self {
        Self { width, height, data: vec![0; width * height * channels] }
    }

    /// Part of an image whose channels alternate.
    pub(super) fn from_interleaved(pixels: &[u8], width: usize, channels: usize, region: &Region) -> Self {
        let mut this = Self::zeros(region.columns.len(), region.rows.len(), channels);
        let Some(columns) = range_of(&region.columns, channels) else { return this };
        for (channel, plane) in this.planes_mut().enumerate() {
            let rows = pixels.chunks_exact(width * channels).skip(region.rows.start);
            for (out, row) in plane.chunks_exact_mut(region.columns.len()).zip(rows) {
                for (out, pixel) in out.iter_mut().zip(row[columns.clone()].chunks_exact(channels)) {
                    *out = pixel[channel];
                }
            }
        }
        this
    }

    /// The image with alternating channels.
    pub(super) fn to_interleaved(&self) -> Vec<u8> {
        let channels = self.planes().count();
        let mut pixels = vec![0; self.data.len()];
        for (channel, plane) in self.planes().enumerate() {
            for (out, value) in pixels.iter_mut().skip(channel).step_by(channels).zip(plane) {
                *out = *value;
            }
        }
        pixels
    }

    /// A part of the image.
    pub(super) fn cut(&self, region: &Region) -> Self {
        let mut this = Self::zeros(region.columns.len(), region.rows.len(), self.planes().count());
        if this.data.is_empty() {
            return this;
        }
        for (out, plane) in this.planes_mut().zip(self.planes()) {
            let rows = plane.chunks_exact(self.width).skip(region.rows.start);
            for (out, row) in out.chunks_exact_mut(region.columns.len()).zip(rows) {
                out.copy_from_slice(&row[region.columns.clone()]);
            }
        }
        this
    }

    pub(super) fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact((self.width * self.height).max(1))
    }

    pub(super) fn planes_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.data.chunks_exact_mut((self.width * self.height).max(1))
    }

    /// All values, for changes that treat the channels alike.
    pub(super) fn values_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Red, green and blue; `None` when there are not three planes.
    pub(super) fn colors(&self) -> Option<[&[u8]; 3]> {
        let mut planes = self.planes();
        Some([planes.next()?, planes.next()?, planes.next()?])
    }

    /// Red, green and blue; `None` when there are not three planes.
    pub(super) fn colors_mut(&mut self) -> Option<[&mut [u8]; 3]> {
        let mut planes = self.planes_mut();
        Some([planes.next()?, planes.next()?, planes.next()?])
    }
}

/// Columns as positions in a row of alternating channels; `None` for none.
fn range_of(columns: &Range<usize>, channels: usize) -> Option<Range<usize>> {
    (!columns.is_empty()).then(|| columns.start * channels..columns.end * channels)
}

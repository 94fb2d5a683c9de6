//! Label maps as files hold them.

use candle_wsss::ClassLayout;

/// Palette index of the background in mask files.
pub const BACKGROUND: u8 = 0;

/// Palette index of pixels without a label in mask files: rims of objects, and what annotators left open.
pub const VOID: u8 = 255;

/// The most classes a mask file can tell apart, beside background and void.
pub const MAX_CLASSES: usize = 254;

/// A label map in the convention of mask files: 0 background, `c + 1` class `c`, 255 void.
///
/// The rest of the crate has the background as its *last* class; only files and this type have it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width` palette indices, row by row.
    pub data: Vec<u8>,
}

impl Mask {
    /// Palette index of a class of a layout, whose background is the last class.
    ///
    /// ```
    /// use candle_wsss::ClassLayout;
    /// use candle_wsss_baselines::data::Mask;
    ///
    /// let layout = ClassLayout::new(3)?;
    /// assert_eq!(Mask::index_of(0, layout), 1);
    /// assert_eq!(Mask::index_of(layout.background(), layout), 0);
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub const fn index_of(class: usize, layout: ClassLayout) -> u8 {
        if class == layout.background() { BACKGROUND } else { (class + 1) as u8 }
    }

    /// The class of a layout a palette index stands for; `None` for void and for indices beyond the layout.
    pub fn class_of(index: u8, layout: ClassLayout) -> Option<usize> {
        match usize::from(index) {
            0 => Some(layout.background()),
            index if index <= layout.num_foreground() => Some(index - 1),
            _ => None,
        }
    }

    /// Foreground classes with at least one pixel, ascending. Void counts for none.
    pub fn classes(&self) -> Vec<usize> {
        let mut seen = [false; 256];
        for &index in &self.data {
            seen[usize::from(index)] = true;
        }
        (1..usize::from(VOID)).filter(|&index| seen[index]).map(|index| index - 1).collect()
    }
}

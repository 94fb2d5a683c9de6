//! [`Shard`]: a share of the images, for several processes that write into one folder.

use std::fmt;
use std::str::FromStr;

/// One of several shares of a list: of image `k`, from 0, takes care share `k mod count + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    index: usize,
    count: usize,
}

impl Default for Shard {
    /// All of the list.
    fn default() -> Self {
        Self { index: 1, count: 1 }
    }
}

impl Shard {
    /// Share `index` of `count`, from 1; `None` when there is no such share.
    pub fn new(index: usize, count: usize) -> Option<Self> {
        (1..=count).contains(&index).then_some(Self { index, count })
    }

    /// Indices of its images, of a list of so many.
    pub fn images(self, len: usize) -> impl Iterator<Item = usize> {
        (self.index - 1..len).step_by(self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let parts = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        let shard = parts.and_then(|(index, count)| Self::new(index, count));
        shard.ok_or_else(|| "expected I/N with I from 1 to N, such as 2/4".to_string())
    }
}

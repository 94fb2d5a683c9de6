//! What becomes of pixels that a label map leaves open.

use serde::{Deserialize, Serialize};

use crate::data::{BACKGROUND, VOID};

/// Pixels of a prediction with value 255: no label. RCA leaves such where saliency and classes disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenPixels {
    /// An error: a label map has to label what is judged.
    #[default]
    Refused,
    /// Background, as the networks trained on such maps would be judged without them.
    Background,
    /// Not judged at all, which flatters maps that leave the hard pixels open.
    Ignored,
}

impl OpenPixels {
    /// Changes `labels`, or where they are open `truth`, so that no pixel is left open unless that is refused.
    pub fn settle(self, truth: &mut [u8], labels: &mut [u8]) {
        for (truth, label) in truth.iter_mut().zip(labels).filter(|(_, label)| **label == VOID) {
            match self {
                Self::Refused => {}
                Self::Background => *label = BACKGROUND,
                Self::Ignored => *truth = VOID,
            }
        }
    }

    /// What a report says of it; nothing where there can be no such pixel.
    pub fn note(self) -> &'static str {
        match self {
            Self::Refused => "",
            Self::Background => ", pixels left open (255) count as background",
            Self::Ignored => ", pixels left open (255) are not judged",
        }
    }
}

//! [`Candidates`]: the classes a pixel is contrasted with, and which of them are semi-hard negatives.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::{PositiveRank, PpcConfig, PrototypeMining, SemiHardRanks};
use crate::contrast::{cross_entropy, cross_entropy_against, cross_entropy_among};
use crate::error::Result;
use crate::label::ImageLabels;
use crate::ops::{Order, top_k};
use crate::regularizer::hsc::AbsentClasses;

// Far below any logit, and finite.
const EXCLUDED: f64 = -1e30;

/// Classes whose prototypes take part in a batch, one column of the logits each.
#[derive(Clone, Debug)]
pub struct Candidates {
    // `(num_classes)` of `u8`; nothing when all take part.
    allowed: Option<Tensor>,
    count: usize,
}

impl Candidates {
    /// Those of a batch with these labels. The background is always one.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(labels: &ImageLabels, absent: AbsentClasses, device: &Device) -> Result<Self> {
        let layout = labels.layout();
        if absent == AbsentClasses::Included {
            return Ok(Self { allowed: None, count: layout.num_classes() });
        }
        let mut allowed = vec![0u8; layout.num_classes()];
        let classes = labels.in_batch();
        for class in classes.iter().copied().chain([layout.background()]) {
            allowed[class] = 1;
        }
        let allowed = Tensor::from_vec(allowed, layout.num_classes(), device)?;
        Ok(Self { allowed: Some(allowed), count: classes.len() + 1 })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Cross entropy over all of them, `(P)`.
    ///
    /// # Shapes
    /// `logits (P, num_classes)`, `labels (P)` of `u32`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn cross_entropy(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        match &self.allowed {
            None => cross_entropy(logits, labels),
            Some(allowed) => cross_entropy_among(logits, labels, allowed),
        }
    }

    /// Cross entropy over each pixel's own class and the mined ones, `(P)`. `None` when mining leaves no negative.
    ///
    /// # Shapes
    /// As there.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn mined_cross_entropy(&self, logits: &Tensor, labels: &Tensor, config: &PpcConfig) -> Result<Option<Tensor>> {
        match config.mining {
            PrototypeMining::All if self.count < 2 => Ok(None),
            PrototypeMining::All => Ok(Some(self.cross_entropy(logits, labels)?)),
            PrototypeMining::SemiHard(_) => {
                let Some(negatives) = self.negatives(logits, labels, config)? else { return Ok(None) };
                Ok(Some(cross_entropy_against(logits, labels, &negatives)?))
            }
        }
    }

    /// Columns of the semi-hard negatives of each pixel, `(P, M)` of `u32`; the most similar first, and of equal ones the
    /// lowest class. `None` when there are none, or no mining. No gradient.
    ///
    /// `M` is `last_rank - dropped`, or less when the classes run out.
    ///
    /// # Shapes
    /// As there.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn negatives(&self, logits: &Tensor, labels: &Tensor, config: &PpcConfig) -> Result<Option<Tensor>> {
        let Some(ranks) = self.ranks(config) else { return Ok(None) };
        let ranking = self.ranking(&logits.detach(), labels, config.positive_rank)?;
        let nearest = top_k(&ranking, ranks.end, Order::Largest)?.indices;
        Ok(Some(nearest.narrow(1, ranks.start, ranks.len())?.contiguous()?))
    }

    // Ranks of the negatives, counted from 0.
    fn ranks(&self, config: &PpcConfig) -> Option<Range<usize>> {
        let PrototypeMining::SemiHard(SemiHardRanks { dropped, last_rank }) = config.mining else { return None };
        let ranked = match config.positive_rank {
            PositiveRank::Ranked => self.count,
            PositiveRank::Excluded => self.count - 1,
        };
        let end = last_rank.min(ranked);
        (dropped < end).then_some(dropped..end)
    }

    // What takes no rank is put last.
    fn ranking(&self, logits: &Tensor, labels: &Tensor, positive: PositiveRank) -> Result<Tensor> {
        let last = Tensor::full(EXCLUDED, logits.shape(), logits.device())?.to_dtype(logits.dtype())?;
        let mut ranking = logits.clone();
        if let Some(allowed) = &self.allowed {
            let allowed = allowed.unsqueeze(0)?.broadcast_as(logits.shape())?;
            ranking = allowed.where_cond(&ranking, &last)?;
        }
        if positive == PositiveRank::Excluded {
            let columns = Tensor::arange(0u32, logits.dim(1)? as u32, logits.device())?.unsqueeze(0)?;
            let is_own = labels.unsqueeze(1)?.broadcast_eq(&columns)?; // (P, num_classes)
            ranking = is_own.where_cond(&last, &ranking)?;
        }
        Ok(ranking)
    }
}

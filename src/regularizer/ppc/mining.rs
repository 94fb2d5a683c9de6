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
    // Of each class; nothing when all take part.
    allowed: Option<Vec<bool>>,
    count: usize,
    device: Device,
}

impl Candidates {
    /// Those of a batch with these labels. The background is always one.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(labels: &ImageLabels, absent: AbsentClasses, device: &Device) -> Result<Self> {
        let layout = labels.layout();
        let device = device.clone();
        if absent == AbsentClasses::Included {
            return Ok(Self { allowed: None, count: layout.num_classes(), device });
        }
        let mut allowed = vec![false; layout.num_classes()];
        let classes = labels.in_batch();
        for class in classes.iter().copied().chain([layout.background()]) {
            allowed[class] = true;
        }
        Ok(Self { allowed: Some(allowed), count: classes.len() + 1, device })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether each class is one; `None` when all are.
    pub fn mask(&self) -> Option<&[bool]> {
        self.allowed.as_deref()
    }

    // `(num_classes)` of `u8`. The losses themselves do without: it is a copy to the device.
    fn column(&self) -> Result<Option<Tensor>> {
        let Some(allowed) = &self.allowed else { return Ok(None) };
        let allowed: Vec<u8> = allowed.iter().copied().map(u8::from).collect();
        Ok(Some(Tensor::new(allowed, &self.device)?))
    }

    /// Cross entropy over all of them, `(P)`.
    ///
    /// # Shapes
    /// `logits (P, num_classes)`, `labels (P)` of `u32`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn cross_entropy(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        match self.column()? {
            None => cross_entropy(logits, labels),
            Some(allowed) => cross_entropy_among(logits, labels, &allowed),
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

    /// Ranks of the negatives, counted from 0. `None` when there are none, or no mining.
    pub fn ranks(&self, config: &PpcConfig) -> Option<Range<usize>> {
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
        if let Some(allowed) = self.column()? {
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

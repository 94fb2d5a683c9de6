//! The class level: a mean vector of every class of the batch against momentum prototypes of all classes.

use candle_core::{DType, Device, Tensor};

use super::{BackgroundRow, BankOrder, ClassConfig, Level};
use crate::contrast::{cross_entropy, prototype_logits};
use crate::error::Result;
use crate::label::ImageLabels;
use crate::memory::PrototypeBank;
use crate::objective::LossTerms;
use crate::ops::unit;
use crate::prototype::TopPixels;
use crate::seed::label_softmax;
use crate::view::Pair;

const NORMALIZE_EPSILON: f64 = 1e-12;

/// For each class `c` of the batch and view `v`, `r_vc` is the mean of the `top_k` best pixels of the batch, weighted by
/// `s = softmax(score * label)`, as a unit vector. With `X(r, B) = -ln softmax_c(cos(r, B) / T)`:
///
/// * `own = mean_v mean_c X(r_vc, B_v)`;
/// * `mutual = mean_v mean_c X(r_vc, B_v')`, `v'` being the other view.
///
/// Each bank's rows of these classes move towards the same mean of the `high_k` best pixels.
///
/// Released order ([`BankOrder::WithinStep`]): classes ascending, and each class sees the rows of those before it
/// already moved. Its own row is always the old one, so all classes are computed at once:
/// `logit_ic = new_ic` where class `c` came before class `i`, else `old_ic`.
///
/// Without a foreground label in the batch both terms are omitted and the banks stay.
///
/// # Shapes
/// `features (N, D, h, w)`, `scores (N, num_classes, h, w)`, banks `(num_classes, D)`.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// CSC of HSC (IJCAI 2023), as released.
pub fn class_level(
    features: &Pair<Tensor>,
    scores: &Pair<Tensor>,
    labels: &ImageLabels,
    banks: &Pair<PrototypeBank>,
    config: &ClassConfig,
) -> Result<Level> {
    let present: Vec<usize> = labels.in_batch().into_iter().collect();
    let mut terms = LossTerms::default();
    if present.is_empty() {
        for name in ["own", "mutual"] {
            terms.omit(name, "no foreground label in the batch");
        }
        return Ok(Level { terms, banks: banks.clone() });
    }
    let batch = Batch::new(present, labels.layout().num_classes(), config, features.source.device())?;
    let views = features
        .as_ref()
        .zip(scores.as_ref())
        .try_map(|(features, scores)| batch.vectors(features, &label_softmax(scores, labels)?))?;
    let moved = banks.as_ref().zip(views.as_ref()).try_map(|(bank, view)| batch.moved(bank, view))?;
    let anchors = views.as_ref().map(|view| &view.anchors);
    let contrast = |banks: Pair<(&PrototypeBank, &PrototypeBank)>| -> Result<Tensor> {
        anchors.zip(banks).try_map(|(anchors, (old, new))| batch.contrast(anchors, old, new))?.mean()
    };
    let banks = banks.as_ref().zip(moved.as_ref());
    if config.own > 0.0 {
        terms.push("own", config.weight * config.own, contrast(banks)?)?;
    }
    if config.mutual > 0.0 {
        terms.push("mutual", config.weight * config.mutual, contrast(banks.swapped())?)?;
    }
    let banks = banks.zip(views.as_ref()).try_map(|((_, moved), view)| batch.with_background(moved, view))?;
    Ok(Level { terms, banks })
}

/// The vectors of one view.
struct ClassVectors {
    /// `(present, D)`: mean of the `top_k` best pixels, with gradient.
    anchors: Tensor,
    /// `(present, D)`: mean of the `high_k` best.
    fresh: Tensor,
    /// `(1, D)`: the same for the background, when its row is moved.
    background: Option<Tensor>,
}

/// What the classes of a batch make of the level.
struct Batch<'a> {
    config: &'a ClassConfig,
    num_classes: usize,
    /// Ascending.
    present: Vec<usize>,
    /// The same as `(present)` of `u32`.
    classes: Tensor,
    /// `(num_classes, present)`, `f32`: which row of the bank each class has.
    placement: Tensor,
    /// `(present, num_classes)`, `u8`: rows that moved before the class had its turn.
    already_moved: Tensor,
}

impl<'a> Batch<'a> {
    fn new(present: Vec<usize>, num_classes: usize, config: &'a ClassConfig, device: &Device) -> Result<Self> {
        let count = present.len();
        let mut placement = vec![0f32; num_classes * count];
        let mut already_moved = vec![0u8; count * num_classes];
        for (turn, &class) in present.iter().enumerate() {
            placement[class * count + turn] = 1.0;
            if config.bank_order == BankOrder::WithinStep {
                for later in turn + 1..count {
                    already_moved[later * num_classes + class] = 1;
                }
            }
        }
        Ok(Self {
            config,
            num_classes,
            classes: Tensor::from_vec(present.iter().map(|class| *class as u32).collect(), count, device)?,
            present,
            placement: Tensor::from_vec(placement, (num_classes, count), device)?,
            already_moved: Tensor::from_vec(already_moved, (count, num_classes), device)?,
        })
    }

    // `features (N, D, h, w)`, `weights (N, num_classes, h, w)`.
    fn vectors(&self, features: &Tensor, weights: &Tensor) -> Result<ClassVectors> {
        let top = TopPixels::of_map(weights, Some(&self.present), self.config.top_k)?;
        let detached = features.detach();
        let background = match self.config.background_row {
            BackgroundRow::Updated => {
                let top = TopPixels::of_map(weights, Some(&[self.num_classes - 1]), self.config.high_k)?;
                Some(top.mean_direction_of_map(&detached)?)
            }
            BackgroundRow::Never | BackgroundRow::Excluded => None,
        };
        Ok(ClassVectors {
            anchors: top.mean_direction_of_map(features)?,
            fresh: top.head(self.config.high_k)?.mean_direction_of_map(&detached)?,
            background,
        })
    }

    fn moved(&self, bank: &PrototypeBank, view: &ClassVectors) -> Result<PrototypeBank> {
        let placement = self.placement.to_dtype(view.fresh.dtype())?;
        let fresh = placement.matmul(&view.fresh)?; // (num_classes, D), 0 for the others
        let moves = self.placement.sum_keepdim(1)?.to_dtype(DType::U8)?.broadcast_as(fresh.shape())?;
        let moved = bank.moved(&fresh, self.config.momentum)?;
        Ok(PrototypeBank::from_rows(&moves.where_cond(moved.rows(), bank.rows())?))
    }

    // `anchors (present, D)` against a bank before and after its moves. Mean over classes.
    fn contrast(&self, anchors: &Tensor, old: &PrototypeBank, new: &PrototypeBank) -> Result<Tensor> {
        let logits = |bank: &PrototypeBank| {
            prototype_logits(anchors, &unit(bank.rows(), 1, NORMALIZE_EPSILON)?, self.config.temperature)
        };
        let logits = match self.config.bank_order {
            BankOrder::WithinStep => self.already_moved.where_cond(&logits(new)?, &logits(old)?)?,
            BankOrder::AfterStep => logits(old)?,
        };
        let logits = match self.config.background_row {
            BackgroundRow::Never | BackgroundRow::Updated => logits,
            BackgroundRow::Excluded => logits.narrow(1, 0, self.num_classes - 1)?.contiguous()?,
        };
        Ok(cross_entropy(&logits, &self.classes)?.mean_all()?)
    }

    fn with_background(&self, bank: &PrototypeBank, view: &ClassVectors) -> Result<PrototypeBank> {
        match &view.background {
            Some(background) => bank.moved_row(self.num_classes - 1, &background.squeeze(0)?, self.config.momentum),
            None => Ok(bank.clone()),
        }
    }
}

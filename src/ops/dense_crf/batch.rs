//! [`refine_label_pair`]: the labels of a batch, as training refines them.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use super::{DenseCrfConfig, DenseCrfPlan};
use crate::error::{Error, Result, expect_shape};
use crate::view::Pair;

/// Refines the hard labels of both views of a batch; each image's pairwise weights serve both.
///
/// # Shapes
/// `images (N, h, w, 3)` of bytes; labels and results `(N, h, w)` of `u32`, results where the labels are.
///
/// # Errors
/// When a shape differs, a label is none of the `num_labels` or a constant is out of its range.
pub fn refine_label_pair(
    images: &Tensor,
    labels: &Pair<Tensor>,
    num_labels: usize,
    config: &DenseCrfConfig,
) -> Result<Pair<Tensor>> {
    config.validate()?;
    expect_shape("crf images", images, ["N".into(), "h".into(), "w".into(), 3.into()])?;
    let (n, h, w, _) = images.dims4()?;
    if images.dtype() != DType::U8 {
        return Err(Error::value("crf images", format!("must hold bytes, hold {:?}", images.dtype())));
    }
    let flat = labels.as_ref().try_map(|labels| {
        expect_shape("crf labels", labels, [n.into(), h.into(), w.into()])?;
        Ok::<_, Error>(labels.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?)
    })?;
    if h * w == 0 {
        return Ok(labels.clone());
    }
    let bytes = images.flatten_all()?.to_vec1::<u8>()?;
    let plan = DenseCrfPlan::new((h, w), config)?;
    let refine = |image: usize| {
        let crf = plan.bytes(&bytes[image * h * w * 3..][..h * w * 3])?;
        let own = flat.as_ref().map(|labels| &labels[image * h * w..][..h * w]);
        own.try_map(|labels| Ok::<_, Error>(crf.solve_labels(labels, num_labels)?.winners()))
    };
    let refined: Vec<Pair<Vec<u32>>> = (0..n).into_par_iter().map(refine).collect::<Result<_>>()?;
    let (source, target): (Vec<_>, Vec<_>) = refined.into_iter().map(|pair| (pair.source, pair.target)).unzip();
    let device = labels.as_ref().map(Tensor::device);
    Pair::new(source.concat(), target.concat())
        .zip(device)
        .try_map(|(values, device)| Ok(Tensor::from_vec(values, (n, h, w), device)?))
}

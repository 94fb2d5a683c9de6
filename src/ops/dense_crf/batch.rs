//! The labels of a batch, as training refines them: [`refine_label_pair`], and [`refine_label_pair_on_device`].

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use super::exact::ExactLabels;
use super::{CrfKernel, DenseCrfConfig, DenseCrfPlan};
use crate::error::{Error, Result, expect_shape};
use crate::ops::device::emulator;
use crate::ops::kernel::indices;
use crate::view::{Normalization, Pair};

/// Refines the hard labels of both views of a batch; each image's pairwise weights serve both. Runs on the host: labels
/// and images of a device are waited for and copied.
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
        crf.refine_pair(flat.as_ref().map(|labels| &labels[image * h * w..][..h * w]), num_labels)
    };
    let refined: Vec<Pair<Vec<u32>>> = (0..n).into_par_iter().map(refine).collect::<Result<_>>()?;
    let (source, target): (Vec<_>, Vec<_>) = refined.into_iter().map(|pair| (pair.source, pair.target)).unzip();
    let device = labels.as_ref().map(Tensor::device);
    Pair::new(source.concat(), target.concat())
        .zip(device)
        .try_map(|(values, device)| Ok(Tensor::from_vec(values, (n, h, w), device)?))
}

/// The same where the images are on a device, the kernel is [`CrfKernel::Exact`] and the pairs of pixels of the batch are
/// at most 2^28, 1 GiB of weights: nothing is read by the host, and nothing waited for. Otherwise `None`, and it is up to
/// the host.
///
/// The colours of the normalised images are restored and truncated to bytes on the way. Float32, so where two labels are
/// equally likely but for rounding, the choice may differ from the host's. Labels are not checked: what is none of the
/// `num_labels` counts as the last of them.
///
/// # Shapes
/// `images (N, 3, h, w)`; labels and results `(N, h, w)` of `u32`.
///
/// # Errors
/// When a shape differs, there is one label only or a constant is out of its range.
pub fn refine_label_pair_on_device(
    images: &Tensor,
    normalization: Normalization,
    labels: &Pair<Tensor>,
    num_labels: usize,
    config: &DenseCrfConfig,
) -> Result<Option<Pair<Tensor>>> {
    config.validate()?;
    expect_shape("crf images", images, ["N".into(), 3.into(), "h".into(), "w".into()])?;
    let (n, _, h, w) = images.dims4()?;
    let on_device = images.device().is_cuda() || emulator().is_some();
    if config.kernel != CrfKernel::Exact || !on_device || !ExactLabels::fits(n, h * w) {
        return Ok(None);
    }
    if num_labels < 2 {
        return Err(Error::value("crf labels", format!("at least 2 labels are needed, there are {num_labels}")));
    }
    let labels = labels.as_ref().try_map(|labels| {
        expect_shape("crf labels", labels, [n.into(), h.into(), w.into()])?;
        Ok::<_, Error>(labels.to_dtype(DType::U32)?.contiguous()?)
    })?;
    let refined = indices(ExactLabels { labels, normalization, num_labels, config: *config }, &images.detach())?;
    Ok(Some(Pair::new(refined.get(0)?, refined.get(1)?)))
}

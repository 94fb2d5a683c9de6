//! The host's part of the kernels: from labels to labels on the device.

use candle_core::{DType, Result, Shape, Tensor};

use crate::ops::dense_crf::DenseCrfConfig;
use crate::ops::device::{self, Arg, Buffer, DeviceArray, Gpu, Launch, suffix};
use crate::ops::kernel::{Array, IndexKernel, Real};
use crate::view::{Normalization, Pair};

/// Refined labels of both views, `(2, N, h, w)`, of images `(N, 3, h, w)`.
pub(in crate::ops::dense_crf) struct ExactLabels {
    /// `(N, h, w)` of `u32`, contiguous.
    pub(in crate::ops::dense_crf) labels: Pair<Tensor>,
    pub(in crate::ops::dense_crf) normalization: Normalization,
    pub(in crate::ops::dense_crf) num_labels: usize,
    pub(in crate::ops::dense_crf) config: DenseCrfConfig,
}

/// Most weights of a batch.
const MOST_WEIGHTS: usize = 1 << 28;

// Threads of a block that adds up a row, and of one that takes a view through the iterations (`kernel.cu`).
const SUM_THREADS: usize = 128;
const THREADS: usize = 1024;

// Shared memory of the latter: beliefs and messages of 256 pixels and a dozen labels.
const SHARED: usize = 96 << 10;

impl ExactLabels {
    /// Whether the weights of so many images do.
    pub(in crate::ops::dense_crf) fn fits(images: usize, pixels: usize) -> bool {
        images.saturating_mul(pixels).saturating_mul(pixels) <= MOST_WEIGHTS
    }

    // Pointer, normalisation, size and widths.
    fn image(&self, input: DeviceArray<'_>, [width, pixels]: [usize; 2]) -> Result<Vec<Arg>> {
        let Self { normalization: Normalization { mean, std }, config, .. } = self;
        let exponent = |sigma: f64| Arg::F64(0.5 / (sigma * sigma));
        let mut arguments = vec![input.pointer()];
        arguments.extend(std.iter().chain(mean).map(|value| Arg::F64(*value)));
        arguments.extend([Arg::size(width)?, Arg::size(pixels)?]);
        let widths = [config.gaussian_sxy, config.bilateral_sxy, config.bilateral_srgb];
        arguments.extend(widths.map(exponent));
        Ok(arguments)
    }

    // (N, P, P)
    fn weights(&self, gpu: &dyn Gpu, input: DeviceArray<'_>, size: [usize; 2]) -> Result<Buffer> {
        let (images, pixels) = (input.dims[0], size[1]);
        let scales = gpu.alloc(DType::F32, images * 2 * pixels)?;
        let weights = gpu.alloc(DType::F32, images * pixels * pixels)?;
        let compat = [self.config.gaussian_compat, self.config.bilateral_compat].map(Arg::F64);
        let steps = [
            ("crf_scales", vec![scales.pointer(), compat[0], compat[1]]),
            ("crf_weights", vec![scales.pointer(), weights.pointer()]),
        ];
        for (name, own) in steps {
            let mut arguments = self.image(input, size)?;
            arguments.extend(own);
            gpu.launch(&Launch {
                module: "dense_crf",
                name: format!("{name}_{}", suffix(input.dtype)?).into(),
                blocks: [pixels, images, 1],
                threads: SUM_THREADS,
                shared: 0,
                arguments: &arguments,
            })?;
        }
        Ok(weights)
    }
}

impl IndexKernel for ExactLabels {
    const NAME: &'static str = "refine_label_pair_on_device";

    fn indices<T: Real>(&self, _: Array<'_, T>) -> Result<(Vec<u32>, Shape)> {
        candle_core::bail!("{}: expected images on a device", Self::NAME)
    }

    fn device(&self, gpu: &dyn Gpu, input: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        let &[images, _, height, width] = input.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        let (pixels, labels) = (height * width, self.num_labels);
        let result = gpu.alloc(DType::U32, 2 * images * pixels)?;
        let shape = Shape::from((2, images, height, width));
        if images * pixels == 0 {
            return Ok((result, shape));
        }
        let weights = self.weights(gpu, input, [width, pixels])?;
        let given = self.labels.as_ref().try_map(device::array)?;
        // Room for as many labels as can occur, a channel for the others, and what a pixel's values are padded to.
        let stride = (labels.min(pixels) + 1).next_multiple_of(8);
        let part = (1 + (THREADS / pixels).max(1)) * pixels * stride;
        let scratch = gpu.alloc(DType::F32, images * 2 * part)?;
        let header = (2 * labels).next_multiple_of(4);
        let float = DType::F32.size_in_bytes();
        let room = (SHARED / float).saturating_sub(header).min(part);
        let other = (1.0 - self.config.gt_prob) / (labels - 1) as f64;
        gpu.launch(&Launch {
            module: "dense_crf",
            name: "crf_labels_u32".into(),
            blocks: [2, images, 1],
            threads: THREADS,
            shared: (header + room) * float,
            arguments: &[
                weights.pointer(),
                given.source.pointer(),
                given.target.pointer(),
                result.pointer(),
                scratch.pointer(),
                Arg::U64(part as u64),
                Arg::size(pixels)?,
                Arg::size(labels)?,
                Arg::size(self.config.iterations)?,
                Arg::F64(self.config.gt_prob.ln()),
                Arg::F64(other.ln()),
                Arg::size(room)?,
            ],
        })?;
        Ok((result, shape))
    }
}

//! Sizes of a convolution.

use super::Conv2dSpec;
use crate::error::{Error, Result};

/// Checked sizes. Channels are those of one group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) images: usize,
    pub(super) groups: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel: (usize, usize),
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    pub(super) spec: Conv2dSpec,
}

impl Geometry {
    pub(super) fn new(x: &[usize], weight: &[usize], spec: Conv2dSpec) -> Result<Self> {
        let shape = |what: &str, expected: String, got: &[usize]| Error::Shape {
            what: format!("conv2d {what}"),
            expected,
            got: got.to_vec(),
        };
        let Conv2dSpec { stride, padding, dilation, groups } = spec;
        for (name, value) in [("stride", stride), ("dilation", dilation), ("groups", groups)] {
            if value == 0 {
                return Err(Error::value(format!("conv2d {name}"), "expected at least 1, got 0"));
            }
        }
        let &[images, channels, height @ (1..), width @ (1..)] = x else {
            return Err(shape("input", "(N, C, h, w), maps not empty".to_string(), x));
        };
        let expected = format!("(multiple of {groups}, {channels}/{groups}, 1.., 1..)");
        let &[out_channels, inputs, kernel_height, kernel_width] = weight else {
            return Err(shape("weight", expected, weight));
        };
        let fits = inputs * groups == channels && out_channels % groups == 0;
        if !fits || [inputs, out_channels, kernel_height, kernel_width].contains(&0) {
            return Err(shape("weight", expected, weight));
        }
        let out = |size: usize, kernel: usize| {
            let reach = dilation * (kernel - 1) + 1;
            (size + 2 * padding).checked_sub(reach).map(|room| room / stride + 1)
        };
        let (Some(out_height), Some(out_width)) = (out(height, kernel_height), out(width, kernel_width)) else {
            let expected = format!("maps of at least the reach of a {kernel_height}x{kernel_width} kernel, {spec:?}");
            return Err(shape("input", expected, x));
        };
        Ok(Self {
            images,
            groups,
            inputs,
            outputs: out_channels / groups,
            height,
            width,
            kernel: (kernel_height, kernel_width),
            out_height,
            out_width,
            spec,
        })
    }

    /// Shape of the result.
    pub(super) fn result_dims(&self) -> (usize, usize, usize, usize) {
        (self.images, self.groups * self.outputs, self.out_height, self.out_width)
    }

    /// Input pixels of a map.
    pub(super) fn plane(&self) -> usize {
        self.height * self.width
    }

    /// Output positions of a map.
    pub(super) fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Weights of one output and one input channel.
    pub(super) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Weights of one output channel.
    pub(super) fn depth(&self) -> usize {
        self.inputs * self.taps()
    }

    /// Whether every output position sees one pixel, in the same order: then a map is as good as one long row.
    fn is_pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.spec.stride == 1 && self.spec.padding == 0
    }

    /// Height and width of an input map.
    pub(super) fn input_size(&self) -> (usize, usize) {
        if self.is_pointwise() { (1, self.plane()) } else { (self.height, self.width) }
    }

    /// Height and width of an output map.
    pub(super) fn output_size(&self) -> (usize, usize) {
        if self.is_pointwise() { (1, self.positions()) } else { (self.out_height, self.out_width) }
    }
}

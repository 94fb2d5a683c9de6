//! The host's part of the kernels.

use candle_core::{DType, Result, Shape};

use super::{Equivariance, OneHotChannels};
use crate::ops::device::{Arg, Buffer, DeviceArray, DeviceTensor, Gpu, Launch, array, suffix};
use crate::ops::resize::step;
use crate::view::Pair;

/// Threads of a block that has pixels of its own.
const THREADS: usize = 256;
/// Most threads of a block that works through a plane or an image.
const MOST_THREADS: usize = 1024;

/// A launch of the step: names and arguments that all kernels share are added here.
struct Step<'a> {
    kernel: &'a Equivariance,
    gpu: &'a dyn Gpu,
    dtype: DType,
    images: usize,
    classes: usize,
    /// Most foreground classes of an image: what scratch memory has room for.
    slots: usize,
    mask: DeviceTensor,
    cam: Pair<DeviceArray<'a>>,
    refined: Pair<DeviceTensor>,
}

/// Extrema of the planes of a view, values and places.
type Extents = (Buffer, Buffer);

pub(super) fn packed(kernel: &Equivariance, gpu: &dyn Gpu, cam: Pair<DeviceArray<'_>>) -> Result<(Buffer, Shape)> {
    let step = Step {
        kernel,
        gpu,
        dtype: cam.source.dtype,
        images: cam.source.dims[0],
        classes: cam.source.dims[1],
        slots: kernel.present.iter().map(Vec::len).max().unwrap_or(0),
        mask: array(&kernel.mask)?,
        cam,
        refined: kernel.refined.as_ref().try_map(array)?,
    };
    step.run()
}

impl Step<'_> {
    fn run(&self) -> Result<(Buffer, Shape)> {
        let pixels = self.pixels();
        Arg::size((self.slots + 1) * pixels)?;
        let views = Pair::new(0, 1);
        let extents = views.try_map(|view| self.extents(view))?;
        let both = views.zip(extents.as_ref());
        let cam = both.try_map(|(view, extents)| self.align(view, extents, false))?;
        let refined = both.try_map(|(view, extents)| self.align(view, extents, true))?;

        let (er_sums, blocks) = self.compare(&cam, &refined)?;
        let directions = 2 * self.images;
        let cuts = (self.alloc(directions)?, self.gpu.alloc(DType::U32, directions)?, self.alloc(directions)?);
        self.select(&refined, &cuts)?;

        let [source, target] = [self.cam.source.len(), self.cam.target.len()];
        let len = Equivariance::TERMS + if self.kernel.with_gradients { 2 * (source + target) } else { 0 };
        let result = self.alloc(len)?;
        self.launch(
            "equivariance_sums",
            [1, 1, 1],
            THREADS,
            &[
                er_sums.pointer(),
                Arg::size(blocks)?,
                cuts.2.pointer(),
                Arg::size(directions)?,
                result.pointer(),
                Arg::F64(self.er_scale()),
                Arg::F64(self.ecr_scale()),
            ],
        )?;
        if self.kernel.with_gradients {
            let first = Equivariance::TERMS;
            let starts = [[first, first + source + target], [first + source, first + 2 * source + target]];
            for (view, [cam_start, refined_start]) in starts.into_iter().enumerate() {
                let (extents, refined) =
                    if view == 0 { (&extents.source, &refined.source) } else { (&extents.target, &refined.target) };
                let results = [result.pointer_at(cam_start), result.pointer_at(refined_start)];
                self.gradients(view, extents, [&cam.source, refined], (&cuts.0, &cuts.1), results)?;
            }
        }
        Ok((result, len.into()))
    }

    fn extents(&self, view: usize) -> Result<Extents> {
        let planes = 2 * self.images * self.classes;
        let extents = (self.alloc(2 * planes)?, self.gpu.alloc(DType::U32, 2 * planes)?);
        let (cam, refined) = self.maps(view);
        let mut arguments = vec![cam, refined, self.mask.pointer(), extents.0.pointer(), extents.1.pointer()];
        arguments.extend(self.frame(view)?);
        let (height, width) = self.size(view);
        self.launch("equivariance_extents", [self.classes, self.images, 2], threads(height * width), &arguments)?;
        Ok(extents)
    }

    fn align(&self, view: usize, extents: &Extents, is_refined: bool) -> Result<Buffer> {
        let extra = usize::from(is_refined);
        let slots = self.slots + extra;
        let result = self.alloc(self.images * slots * self.pixels())?;
        let (cam, refined) = self.maps(view);
        let first = extra * 2 * self.images * self.classes;
        let mut arguments = vec![
            if is_refined { refined } else { cam },
            self.mask.pointer(),
            extents.0.pointer_at(first),
            extents.1.pointer_at(first),
            result.pointer(),
            Arg::size(self.classes)?,
            Arg::size(extra)?,
            Arg::F64(self.kernel.epsilon),
        ];
        arguments.extend(self.frame(view)?);
        let blocks = [self.pixels().div_ceil(THREADS), slots, self.images];
        self.launch("equivariance_align", blocks, THREADS, &arguments)?;
        Ok(result)
    }

    /// Sums of absolute differences, one for each block.
    fn compare(&self, cam: &Pair<Buffer>, refined: &Pair<Buffer>) -> Result<(Buffer, usize)> {
        let blocks = self.pixels().div_ceil(THREADS);
        let sums = self.alloc(blocks * self.images)?;
        self.launch(
            "equivariance_compare",
            [blocks, self.images, 1],
            THREADS,
            &[
                cam.source.pointer(),
                cam.target.pointer(),
                refined.source.pointer(),
                refined.target.pointer(),
                self.mask.pointer(),
                sums.pointer(),
                Arg::size(self.classes)?,
                Arg::size(self.slots)?,
                Arg::size(self.pixels())?,
                Arg::I32(i32::from(self.kernel.channels == OneHotChannels::SkipFirst)),
            ],
        )?;
        Ok((sums, blocks * self.images))
    }

    fn select(&self, differences: &Pair<Buffer>, (values, ties, sums): &(Buffer, Buffer, Buffer)) -> Result<()> {
        let threads = threads((self.slots + 1) * self.pixels());
        self.launch(
            "equivariance_select",
            [self.images, 2, 1],
            threads,
            &[
                differences.source.pointer(),
                differences.target.pointer(),
                self.mask.pointer(),
                values.pointer(),
                ties.pointer(),
                sums.pointer(),
                Arg::size(self.classes)?,
                Arg::size(self.slots)?,
                Arg::size(self.pixels())?,
                Arg::size(self.kernel.largest)?,
            ],
        )
    }

    fn gradients(
        &self,
        view: usize,
        extents: &Extents,
        [er, cross]: [&Buffer; 2],
        (values, ties): (&Buffer, &Buffer),
        results: [Arg; 2],
    ) -> Result<()> {
        let (blocks, planes) = (self.pixels().div_ceil(THREADS), 2 * self.images * (self.slots + 1));
        // Pixels of the enlarged plane that one of the comparison looks at.
        let neighbours = if self.size(view) == self.kernel.sizes.target { 1 } else { 4 };
        let parts = self.alloc(planes * neighbours * self.pixels())?;
        let sums = self.alloc(2 * planes * blocks)?;
        let mut counts = Vec::new();
        for count in [self.images, self.classes, self.slots, self.pixels()] {
            counts.push(Arg::size(count)?);
        }
        let (cam, refined) = self.maps(view);
        let mut arguments = vec![cam, refined, self.mask.pointer(), extents.0.pointer(), extents.1.pointer()];
        arguments.extend([er, cross, values, ties, &parts, &sums].map(Buffer::pointer));
        arguments.extend_from_slice(&counts);
        arguments.push(Arg::size(view)?);
        arguments.extend([self.kernel.epsilon, self.er_scale(), self.ecr_scale()].map(Arg::F64));
        arguments.extend(self.frame(view)?);
        self.launch("equivariance_spread", [blocks, self.slots + 1, 2 * self.images], THREADS, &arguments)?;

        let mut arguments = vec![self.mask.pointer()];
        arguments.extend([&extents.0, &extents.1, &parts, &sums].map(Buffer::pointer));
        arguments.push(Arg::size(blocks)?);
        arguments.extend(results);
        arguments.extend(counts);
        arguments.push(Arg::F64(self.kernel.epsilon));
        arguments.extend(self.frame(view)?);
        let pixels = self.map_dims(view)[2] * self.map_dims(view)[3];
        let blocks = [pixels.div_ceil(THREADS), self.classes, 2 * self.images];
        self.launch("equivariance_gather", blocks, THREADS, &arguments)
    }

    fn launch(&self, name: &str, blocks: [usize; 3], threads: usize, arguments: &[Arg]) -> Result<()> {
        let name = format!("{name}_{}", suffix(self.dtype)?).into();
        self.gpu.launch(&Launch { module: "equivariance", name, blocks, threads, shared: 0, arguments })
    }

    fn alloc(&self, len: usize) -> Result<Buffer> {
        self.gpu.alloc(self.dtype, len)
    }

    fn map_dims(&self, view: usize) -> &[usize] {
        if view == 0 { self.cam.source.dims } else { self.cam.target.dims }
    }

    fn maps(&self, view: usize) -> (Arg, Arg) {
        match view {
            0 => (self.cam.source.pointer(), self.refined.source.pointer()),
            _ => (self.cam.target.pointer(), self.refined.target.pointer()),
        }
    }

    fn size(&self, view: usize) -> (usize, usize) {
        if view == 0 { self.kernel.sizes.source } else { self.kernel.sizes.target }
    }

    /// Pixels at the size of comparison.
    fn pixels(&self) -> usize {
        self.kernel.sizes.target.0 * self.kernel.sizes.target.1
    }

    fn er_scale(&self) -> f64 {
        1.0 / (self.images * (self.classes - 1) * self.pixels()) as f64
    }

    fn ecr_scale(&self) -> f64 {
        let entries = self.kernel.largest * self.images;
        if entries == 0 { 0.0 } else { 1.0 / entries as f64 }
    }

    fn frame(&self, view: usize) -> Result<Vec<Arg>> {
        let (h, w) = (self.map_dims(view)[2], self.map_dims(view)[3]);
        let ((large_h, large_w), (height, width)) = (self.size(view), self.kernel.sizes.target);
        let mut arguments = Vec::new();
        for size in [h, w, large_h, large_w, height, width] {
            arguments.push(Arg::size(size)?);
        }
        Arg::size(large_h * large_w)?;
        let steps = [step(h, large_h), step(w, large_w), step(large_h, height), step(large_w, width)];
        arguments.extend(steps.map(Arg::F64));
        Ok(arguments)
    }
}

/// For a block that works through so many items.
fn threads(items: usize) -> usize {
    (items.div_ceil(32) * 32).clamp(32, MOST_THREADS)
}

//! The host's part of the kernels: what is launched, four terms at a time.

use candle_core::{DType, Result, Shape, Tensor, bail};

use super::{ContrastTerm, Negatives, PixelWeights, Plan};
use crate::ops::device::{Arg, Buffer, DeviceArray, DeviceTensor, Gpu, Launch, accumulator, array, suffix};

/// As in the kernels.
const LANES: usize = 32;
const WARPS: usize = 8;
const THREADS: usize = LANES * WARPS;
const TERMS: usize = 4;

/// Shared memory a block may ask for; larger tiles lie in global memory, of few blocks.
const MOST_SHARED: usize = 96 << 10;
const BLOCKS_WITHOUT_SHARED: usize = 256;

pub(super) fn forward(plan: &Plan, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
    let call = Call::new(plan, gpu, inputs)?;
    let result = gpu.alloc(call.features.dtype, plan.len())?;
    let counts = call.counts()?;
    let sums = accumulator(call.features.dtype);
    let times_at = |sample: usize| plan.terms.len() + sample * plan.pixels;
    for group in call.groups()? {
        let losses = gpu.alloc(sums, group.len * plan.pixels)?;
        let own = gpu.alloc(sums, group.len * plan.pixels)?;
        call.losses(&group, &losses, &own)?;
        for (t, term) in plan.terms[group.first..][..group.len].iter().enumerate() {
            if let PixelWeights::Classes { half: Some(half), .. } = term.weights {
                let members = gpu.alloc(DType::U32, plan.pixels)?;
                let arguments = [
                    call.labels_of(term)?,
                    own.pointer_at(t * plan.pixels),
                    counts.pointer_at(term.labels * plan.classes),
                    members.pointer(),
                    result.pointer_at(times_at(group.samples[t])),
                    Arg::U64(plan.pixels as u64),
                    Arg::size(plan.classes)?,
                    Arg::F64(half.fraction),
                    Arg::U64(half.key.get()),
                ];
                call.launch("sample", plan.classes, 0, &arguments)?;
            }
        }
        let mut arguments = vec![
            losses.pointer(),
            call.labels.pointer(),
            counts.pointer(),
            result.pointer_at(times_at(0)),
            result.pointer_at(group.first),
        ];
        call.push_common(&mut arguments, &group)?;
        call.launch("values", group.len, 0, &arguments)?;
    }
    Ok((result, plan.len().into()))
}

/// `both` is the gradient of the result, then the result.
pub(super) fn gradient(plan: &Plan, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
    let [features, prototypes, both] = inputs;
    let call = Call::new(plan, gpu, [features, prototypes])?;
    let result = gpu.alloc(features.dtype, features.len())?;
    let counts = call.counts()?;
    let times = offset(both, plan.len() + plan.terms.len());
    for group in call.groups()? {
        let work = call.work(2, &group)?;
        let mut arguments = vec![
            features.pointer(),
            prototypes.pointer(),
            call.labels.pointer(),
            call.allowed(),
            counts.pointer(),
            offset(both, group.first),
            times,
            result.pointer(),
            work.scratch(),
            Arg::U64(work.elements as u64),
            Arg::U64(call.tiles() as u64),
            Arg::I32(i32::from(group.first > 0)),
        ];
        call.push_common(&mut arguments, &group)?;
        call.launch("gradient", work.blocks, work.shared, &arguments)?;
    }
    Ok((result, features.dims.into()))
}

fn offset(x: DeviceArray<'_>, elements: usize) -> Arg {
    match x.pointer() {
        Arg::Pointer(address) => Arg::Pointer(address + (elements * x.dtype.size_in_bytes()) as u64),
        other => other,
    }
}

/// What all launches of a pass share.
struct Call<'a> {
    plan: &'a Plan,
    gpu: &'a dyn Gpu,
    features: DeviceArray<'a>,
    prototypes: DeviceArray<'a>,
    labels: DeviceTensor,
    allowed: Option<DeviceTensor>,
    // Of terms with weights of their own.
    each: Vec<Option<DeviceTensor>>,
}

/// Adjacent terms.
struct Group {
    first: usize,
    len: usize,
    // Of each, which of the sampled terms it is.
    samples: Vec<usize>,
}

/// Memory of the blocks.
struct Work {
    scratch: Option<Buffer>,
    elements: usize,
    shared: usize,
    blocks: usize,
}

impl Work {
    fn scratch(&self) -> Arg {
        self.scratch.as_ref().map_or(Arg::Pointer(0), Buffer::pointer)
    }
}

impl<'a> Call<'a> {
    fn new(plan: &'a Plan, gpu: &'a dyn Gpu, [features, prototypes]: [DeviceArray<'a>; 2]) -> Result<Self> {
        let each = |term: &ContrastTerm| match &term.weights {
            PixelWeights::Each(weights) => Ok(Some(array(&weights.contiguous()?)?)),
            _ => Ok(None),
        };
        Ok(Self {
            plan,
            gpu,
            features,
            prototypes,
            labels: array(&plan.labels)?,
            allowed: plan.mask.as_ref().map(array).transpose()?,
            each: plan.terms.iter().map(each).collect::<Result<Vec<_>>>()?,
        })
    }

    fn launch(&self, name: &str, blocks: usize, shared: usize, arguments: &[Arg]) -> Result<()> {
        self.start(&format!("contrast_{name}_{}", suffix(self.features.dtype)?), [blocks, 1, 1], shared, arguments)
    }

    fn start(&self, name: &str, blocks: [usize; 3], shared: usize, arguments: &[Arg]) -> Result<()> {
        let module = "prototype_contrast";
        self.gpu.launch(&Launch { module, name: name.into(), blocks, threads: THREADS, shared, arguments })
    }

    fn dims(&self) -> (usize, usize) {
        (self.features.dims[1], self.features.dims[2] * self.features.dims[3])
    }

    fn tiles(&self) -> usize {
        self.features.dims[0] * self.dims().1.div_ceil(LANES)
    }

    fn allowed(&self) -> Arg {
        self.allowed.as_ref().map_or(Arg::Pointer(0), DeviceTensor::pointer)
    }

    fn labels_of(&self, term: &ContrastTerm) -> Result<Arg> {
        Ok(offset(self.labels.as_array(), term.labels * self.plan.pixels))
    }

    /// Pixels of every class, for every row of the labels.
    fn counts(&self) -> Result<Buffer> {
        let plan = self.plan;
        let rows = plan.labels.dim(0)?;
        let counts = self.gpu.alloc(DType::U32, rows * plan.classes)?;
        let arguments =
            [self.labels.pointer(), counts.pointer(), Arg::U64(plan.pixels as u64), Arg::size(plan.classes)?];
        self.start("contrast_counts_u32", [plan.classes, rows, 1], 0, &arguments)?;
        Ok(counts)
    }

    fn groups(&self) -> Result<Vec<Group>> {
        let terms = self.plan.terms.len();
        let sample = |term: usize| self.plan.sampled().position(|sampled| sampled == term).unwrap_or(0);
        let group = |first: usize| {
            let len = TERMS.min(terms - first);
            Group { first, len, samples: (first..first + len).map(sample).collect() }
        };
        Ok((0..terms).step_by(TERMS).map(group).collect())
    }

    /// Logits, and in the backward pass as many gradients; sums of the warps; marks of the mined classes.
    fn work(&self, matrices: usize, group: &Group) -> Result<Work> {
        let plan = self.plan;
        let dtype = accumulator(self.features.dtype);
        let numbers = (matrices * plan.sets * plan.classes + WARPS) * LANES;
        let marks = group.len * plan.classes * LANES;
        let elements = numbers + marks.div_ceil(dtype.size_in_bytes());
        let bytes = elements * dtype.size_in_bytes();
        if bytes <= MOST_SHARED {
            return Ok(Work { scratch: None, elements, shared: bytes, blocks: self.tiles().min(1 << 20) });
        }
        let blocks = self.tiles().min(BLOCKS_WITHOUT_SHARED);
        Ok(Work { scratch: Some(self.gpu.alloc(dtype, blocks * elements)?), elements, shared: 0, blocks })
    }

    fn losses(&self, group: &Group, losses: &Buffer, own: &Buffer) -> Result<()> {
        let work = self.work(1, group)?;
        let mut arguments = vec![
            self.features.pointer(),
            self.prototypes.pointer(),
            self.labels.pointer(),
            self.allowed(),
            losses.pointer(),
            own.pointer(),
            work.scratch(),
            Arg::U64(work.elements as u64),
            Arg::U64(self.tiles() as u64),
        ];
        self.push_common(&mut arguments, group)?;
        self.launch("losses", work.blocks, work.shared, &arguments)
    }

    /// Sizes and terms, which end every list of arguments.
    fn push_common(&self, arguments: &mut Vec<Arg>, group: &Group) -> Result<()> {
        let plan = self.plan;
        let (dim, area) = self.dims();
        arguments.extend([
            Arg::U64(plan.pixels as u64),
            Arg::size(dim)?,
            Arg::size(area)?,
            Arg::size(plan.sets)?,
            Arg::size(plan.classes)?,
            Arg::F64(plan.temperature),
        ]);
        for t in 0..TERMS {
            arguments.push(Arg::U64(if t < group.len { self.packed(group, t)? } else { 0 }));
        }
        for t in 0..TERMS {
            let each = self.each.get(group.first + t).and_then(Option::as_ref).filter(|_| t < group.len);
            arguments.push(each.map_or(Arg::Pointer(0), DeviceTensor::pointer));
        }
        arguments.push(Arg::size(group.len)?);
        Ok(())
    }

    /// A term as one number, as the kernels unpack it.
    fn packed(&self, group: &Group, t: usize) -> Result<u64> {
        let term = &self.plan.terms[group.first + t];
        let (first, end, own) = match &term.negatives {
            Negatives::All => (0, 0, false),
            Negatives::Ranked { ranks, own } => (ranks.start, ranks.end, *own),
        };
        let (weighting, sampled, count_empty) = match &term.weights {
            PixelWeights::Uniform => (0, false, false),
            PixelWeights::Each(_) => (1, false, false),
            PixelWeights::Classes { half, count_empty } => (2, half.is_some(), *count_empty),
        };
        let flags = [term.ranks().is_some(), own, sampled, count_empty];
        let flags = flags.iter().enumerate().fold(0, |bits, (bit, flag)| bits | usize::from(*flag) << bit);
        // Value and width.
        let fields = [
            (term.prototypes, 8),
            (term.labels, 8),
            (weighting, 4),
            (flags, 4),
            (group.samples[t], 8),
            (first, 16),
            (end, 16),
        ];
        let (mut bits, mut shift) = (0, 0);
        for (value, width) in fields {
            if value >> width != 0 {
                bail!("prototype_contrast: {value} is too large for its kernels, which take {width} bits");
            }
            bits |= (value as u64) << shift;
            shift += width;
        }
        Ok(bits)
    }
}

/// The candidates as the kernels want them; nothing when all classes are.
pub(super) fn mask(is_allowed: &[bool], features: &Tensor) -> Result<Option<Tensor>> {
    if is_allowed.iter().all(|allowed| *allowed) {
        return Ok(None);
    }
    let mask: Vec<u8> = is_allowed.iter().copied().map(u8::from).collect();
    Ok(Some(Tensor::new(mask, features.device())?))
}

//! From CPU code over slices to candle's custom ops: one place for the dispatch on dtypes and for contiguity.

use std::ops::Neg;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// The floating point types the kernels are written for.
pub(super) trait Real: WithDType + Neg<Output = Self> {
    fn exp(self) -> Self;
    fn ln_1p(self) -> Self;
    fn sqrt(self) -> Self;
}

impl Real for f32 {
    fn exp(self) -> Self {
        self.exp()
    }

    fn ln_1p(self) -> Self {
        self.ln_1p()
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    fn exp(self) -> Self {
        self.exp()
    }

    fn ln_1p(self) -> Self {
        self.ln_1p()
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

/// A contiguous tensor as the kernels see it.
#[derive(Clone, Copy)]
pub(super) struct Array<'a, T> {
    pub(super) values: &'a [T],
    pub(super) dims: &'a [usize],
}

/// CPU code of an operation with `N` inputs of one floating point type.
pub(super) trait Kernel<const N: usize>: Send + Sync + 'static {
    const NAME: &'static str;

    fn forward<T: Real>(&self, inputs: [Array<'_, T>; N]) -> Result<(Vec<T>, Shape)>;

    /// The gradients of the inputs, `None` for those that need none. Kernels of gradients have no gradient.
    fn backward(&self, _inputs: [&Tensor; N], _result: &Tensor, _grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        bail!("{} has no gradient", Self::NAME)
    }
}

/// CPU code of an operation that gives indices, hence without a gradient.
pub(super) trait IndexKernel {
    const NAME: &'static str;

    fn indices<T: Real>(&self, input: Array<'_, T>) -> Result<(Vec<u32>, Shape)>;
}

/// Applies a kernel, with its gradient.
pub(super) fn apply1(kernel: impl Kernel<1>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Adapter(kernel))
}

/// Applies a kernel of two inputs, with its gradient.
pub(super) fn apply2(kernel: impl Kernel<2>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Adapter(kernel))
}

/// Applies a kernel of three inputs, with its gradient.
pub(super) fn apply3(kernel: impl Kernel<3>, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op3(&b.contiguous()?, &c.contiguous()?, Adapter(kernel))
}

/// Applies a kernel outside the graph: what `backward` is made of.
pub(super) fn detached1(kernel: impl Kernel<1>, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Adapter(kernel))
}

/// Applies a kernel of two inputs outside the graph.
pub(super) fn detached2(kernel: impl Kernel<2>, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &Adapter(kernel))
}

/// Applies a kernel of three inputs outside the graph.
pub(super) fn detached3(kernel: impl Kernel<3>, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op3_no_bwd(&b.contiguous()?, &c.contiguous()?, &Adapter(kernel))
}

/// Applies a kernel that gives indices (u32).
pub(super) fn indices(kernel: impl IndexKernel, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&IndexAdapter(kernel))
}

struct Adapter<K>(K);

impl<K: Kernel<1>> CustomOp1 for Adapter<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        dispatch(&self.0, [(s, l)])
    }

    fn bwd(&self, arg: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [grad] = self.0.backward([arg], res, grad)?;
        Ok(grad)
    }
}

impl<K: Kernel<2>> CustomOp2 for Adapter<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        dispatch(&self.0, [(s1, l1), (s2, l2)])
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, res: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.0.backward([a, b], res, grad)?;
        Ok((a, b))
    }
}

impl<K: Kernel<3>> CustomOp3 for Adapter<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        dispatch(&self.0, [(s1, l1), (s2, l2), (s3, l3)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.0.backward([a, b, c], res, grad)?;
        Ok((a, b, c))
    }
}

fn dispatch<const N: usize, K: Kernel<N>>(
    kernel: &K,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    match inputs[0].0 {
        CpuStorage::F32(_) => forward::<f32, N, K>(kernel, inputs),
        CpuStorage::F64(_) => forward::<f64, N, K>(kernel, inputs),
        _ => bail!("{}: expected float32 or float64", K::NAME),
    }
}

fn forward<T: Real, const N: usize, K: Kernel<N>>(
    kernel: &K,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let arrays = inputs.iter().map(|(s, l)| array(K::NAME, s, l)).collect::<Result<Vec<Array<'_, T>>>>()?;
    let Ok(arrays) = <[Array<'_, T>; N]>::try_from(arrays) else { bail!("{}: wrong number of inputs", K::NAME) };
    let (values, shape) = kernel.forward(arrays)?;
    Ok((T::to_cpu_storage_owned(values), shape))
}

fn array<'a, T: Real>(name: &str, storage: &'a CpuStorage, layout: &'a Layout) -> Result<Array<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("{name}: expected a contiguous tensor") };
    Ok(Array { values: &T::cpu_storage_as_slice(storage)?[start..end], dims: layout.dims() })
}

struct IndexAdapter<K>(K);

impl<K: IndexKernel> CustomOp1 for IndexAdapter<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let (indices, shape) = match s {
            CpuStorage::F32(_) => self.0.indices::<f32>(array(K::NAME, s, l)?)?,
            CpuStorage::F64(_) => self.0.indices::<f64>(array(K::NAME, s, l)?)?,
            _ => bail!("{}: expected float32 or float64", K::NAME),
        };
        Ok((CpuStorage::U32(indices), shape))
    }
}

/// Sizes before, of and after one axis of a contiguous tensor.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) outer: usize,
    pub(super) len: usize,
    pub(super) inner: usize,
}

impl Axis {
    pub(super) fn of(dims: &[usize], axis: usize) -> Self {
        Self { outer: dims[..axis].iter().product(), len: dims[axis], inner: dims[axis + 1..].iter().product() }
    }
}

/// Elements a thread should have to do before a second one is worth waking.
pub(super) const GRAIN: usize = 1 << 14;

/// `f` of every element.
pub(super) fn map<T: Real>(x: &[T], f: impl Fn(T) -> T + Send + Sync) -> Vec<T> {
    if x.len() <= GRAIN {
        return x.iter().map(|&x| f(x)).collect();
    }
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    });
    y
}

/// `f` of every pair of elements; the slices are of one length.
pub(super) fn map2<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Send + Sync) -> Vec<T> {
    if a.len() <= GRAIN {
        return a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
    }
    let mut y = vec![T::zero(); a.len()];
    y.par_chunks_mut(GRAIN).zip(a.par_chunks(GRAIN)).zip(b.par_chunks(GRAIN)).for_each(|((y, a), b)| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
    });
    y
}

/// Runs `f(i, chunk)` on the chunks of `y` of `len` elements each, several chunks a thread when they are small.
pub(super) fn for_each_chunk<T: Real>(y: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    if len > 0 {
        let least = GRAIN.div_ceil(len);
        y.par_chunks_mut(len).with_min_len(least).enumerate().for_each(|(i, chunk)| f(i, chunk));
    }
}

//! From code over slices to candle's custom ops: one place for the dispatch on devices and dtypes, and for contiguity.
//!
//! Tensors of float16 and bfloat16 are accepted everywhere. On the CPU they are widened to float32, computed, and rounded
//! once; kernels of devices convert where they load and store.

use std::ops::Neg;

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor, WithDType,
    bail,
};
use half::{bf16, f16};

use super::device::{Buffer, Cuda, DeviceArray, Gpu, emulator};
pub(super) use super::slices::{Axis, GRAIN, map, map2};
use super::vector;
use super::vectors::Vectors;

/// The floating point types the kernels are written for.
pub(super) trait Real: WithDType + Neg<Output = Self> + Vectors {
    fn exp(self) -> Self;
    /// The same as vector instructions, within two units in the last place; see `vector`.
    fn exp_near(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn sqrt(self) -> Self;
}

impl Real for f32 {
    fn exp(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn exp_near(self) -> Self {
        vector::exp_of(self)
    }

    fn ln(self) -> Self {
        self.ln()
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

    #[inline(always)]
    fn exp_near(self) -> Self {
        self.exp()
    }

    fn ln(self) -> Self {
        self.ln()
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

/// Code of an operation with `N` inputs of one floating point type.
pub(super) trait Kernel<const N: usize>: Send + Sync + 'static {
    const NAME: &'static str;

    /// On the CPU.
    fn forward<T: Real>(&self, inputs: [Array<'_, T>; N]) -> Result<(Vec<T>, Shape)>;

    /// On a device: the host's part, which launches what `kernel.cu` has.
    fn device(&self, _gpu: &dyn Gpu, _inputs: [DeviceArray<'_>; N]) -> Result<(Buffer, Shape)> {
        bail!("{} has no code for CUDA devices", Self::NAME)
    }

    /// The gradients of the inputs, `None` for those that need none. Kernels of gradients have no gradient.
    fn backward(&self, _inputs: [&Tensor; N], _result: &Tensor, _grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        bail!("{} has no gradient", Self::NAME)
    }
}

/// Code of an operation that gives indices, hence without a gradient.
pub(super) trait IndexKernel {
    const NAME: &'static str;

    /// On the CPU.
    fn indices<T: Real>(&self, input: Array<'_, T>) -> Result<(Vec<u32>, Shape)>;

    /// On a device; the buffer is one of `u32`.
    fn device(&self, _gpu: &dyn Gpu, _input: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        bail!("{} has no code for CUDA devices", Self::NAME)
    }
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

    fn cuda_fwd(&self, s: &CudaStorage, l: &Layout) -> Result<(CudaStorage, Shape)> {
        on_cuda([(s, l)], |gpu, inputs| self.0.device(gpu, inputs))
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

    fn cuda_fwd(&self, s1: &CudaStorage, l1: &Layout, s2: &CudaStorage, l2: &Layout) -> Result<(CudaStorage, Shape)> {
        on_cuda([(s1, l1), (s2, l2)], |gpu, inputs| self.0.device(gpu, inputs))
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

    fn cuda_fwd(
        &self,
        s1: &CudaStorage,
        l1: &Layout,
        s2: &CudaStorage,
        l2: &Layout,
        s3: &CudaStorage,
        l3: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        on_cuda([(s1, l1), (s2, l2), (s3, l3)], |gpu, inputs| self.0.device(gpu, inputs))
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
    if emulator().is_some() {
        return on_emulator(inputs, |gpu, inputs| kernel.device(gpu, inputs));
    }
    match inputs[0].0 {
        CpuStorage::F32(_) => forward::<f32, N, K>(kernel, inputs),
        CpuStorage::F64(_) => forward::<f64, N, K>(kernel, inputs),
        CpuStorage::F16(_) => widened::<f16, N, K>(kernel, inputs),
        CpuStorage::BF16(_) => widened::<bf16, N, K>(kernel, inputs),
        _ => bail!("{}: expected a floating point tensor", K::NAME),
    }
}

fn forward<T: Real, const N: usize, K: Kernel<N>>(
    kernel: &K,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let arrays = collect(K::NAME, inputs.iter().map(|(s, l)| array(K::NAME, s, l)))?;
    let (values, shape) = kernel.forward(arrays)?;
    Ok((T::to_cpu_storage_owned(values), shape))
}

fn widened<H: Half, const N: usize, K: Kernel<N>>(
    kernel: &K,
    inputs: [(&CpuStorage, &Layout); N],
) -> Result<(CpuStorage, Shape)> {
    let wide = inputs.iter().map(|(s, l)| widen::<H>(K::NAME, s, l)).collect::<Result<Vec<Vec<f32>>>>()?;
    let arrays = wide.iter().zip(&inputs).map(|(values, (_, l))| Ok(Array { values, dims: l.dims() }));
    let (values, shape) = kernel.forward(collect(K::NAME, arrays)?)?;
    Ok((H::to_cpu_storage_owned(values.iter().map(|value| H::rounded(*value)).collect()), shape))
}

fn collect<A, const N: usize>(name: &str, items: impl Iterator<Item = Result<A>>) -> Result<[A; N]> {
    let items = items.collect::<Result<Vec<A>>>()?;
    items.try_into().or_else(|_| bail!("{name}: wrong number of inputs"))
}

fn array<'a, T: WithDType>(name: &str, storage: &'a CpuStorage, layout: &'a Layout) -> Result<Array<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("{name}: expected a contiguous tensor") };
    Ok(Array { values: &T::cpu_storage_as_slice(storage)?[start..end], dims: layout.dims() })
}

/// The types that are stored, but not computed with.
trait Half: WithDType {
    fn rounded(wide: f32) -> Self;
    fn wide(self) -> f32;
}

impl Half for f16 {
    fn rounded(wide: f32) -> Self {
        Self::from_f32(wide)
    }

    fn wide(self) -> f32 {
        self.to_f32()
    }
}

impl Half for bf16 {
    fn rounded(wide: f32) -> Self {
        Self::from_f32(wide)
    }

    fn wide(self) -> f32 {
        self.to_f32()
    }
}

fn widen<H: Half>(name: &str, storage: &CpuStorage, layout: &Layout) -> Result<Vec<f32>> {
    Ok(array::<H>(name, storage, layout)?.values.iter().map(|value| value.wide()).collect())
}

fn on_cuda<const N: usize>(
    inputs: [(&CudaStorage, &Layout); N],
    run: impl FnOnce(&dyn Gpu, [DeviceArray<'_>; N]) -> Result<(Buffer, Shape)>,
) -> Result<(CudaStorage, Shape)> {
    let cuda = Cuda::of(inputs[0].0)?;
    let arrays = collect("a kernel", inputs.iter().map(|(storage, layout)| cuda.array(storage, layout)))?;
    expect_one_type(&arrays)?;
    let (buffer, shape) = run(&cuda, arrays)?;
    Ok((cuda.storage(buffer)?, shape))
}

fn on_emulator<const N: usize>(
    inputs: [(&CpuStorage, &Layout); N],
    run: impl FnOnce(&dyn Gpu, [DeviceArray<'_>; N]) -> Result<(Buffer, Shape)>,
) -> Result<(CpuStorage, Shape)> {
    let Some(emulator) = emulator() else { bail!("there is no emulator") };
    let copies = inputs.iter().map(|(storage, layout)| emulator.copy(storage, layout));
    let copies = copies.collect::<Result<Vec<Buffer>>>()?;
    let arrays = copies.iter().zip(&inputs).map(|(copy, (_, layout))| Ok(copy.array(layout.dims())));
    let arrays = collect("a kernel", arrays)?;
    expect_one_type(&arrays)?;
    let (buffer, shape) = run(&emulator, arrays)?;
    Ok((emulator.storage(buffer)?, shape))
}

/// A kernel would take the bytes of one type for those of another.
fn expect_one_type(arrays: &[DeviceArray<'_>]) -> Result<()> {
    match arrays.iter().find(|array| array.dtype != arrays[0].dtype) {
        Some(other) => bail!("expected tensors of one type, got {:?} and {:?}", arrays[0].dtype, other.dtype),
        None => Ok(()),
    }
}

/// The values of a tensor on the CPU that an operation holds beside its inputs. It must be contiguous.
pub(super) fn values<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("expected a tensor on the CPU") };
    Ok(f(array::<T>("a kernel", storage, layout)?.values))
}

/// The same for floating point values, as numbers of another type.
pub(super) fn values_as<T: Real>(tensor: &Tensor) -> Result<Vec<T>> {
    match tensor.dtype() {
        DType::F32 => values(tensor, |x: &[f32]| x.iter().map(|x| T::from_f64(f64::from(*x))).collect()),
        DType::F64 => values(tensor, |x: &[f64]| x.iter().map(|x| T::from_f64(*x)).collect()),
        DType::F16 => values(tensor, |x: &[f16]| x.iter().map(|x| T::from_f64(x.to_f64())).collect()),
        DType::BF16 => values(tensor, |x: &[bf16]| x.iter().map(|x| T::from_f64(x.to_f64())).collect()),
        other => bail!("expected a floating point tensor, got {other:?}"),
    }
}

struct IndexAdapter<K>(K);

impl<K: IndexKernel> CustomOp1 for IndexAdapter<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        if emulator().is_some() {
            return on_emulator([(s, l)], |gpu, [input]| self.0.device(gpu, input));
        }
        let dims = l.dims();
        let (indices, shape) = match s {
            CpuStorage::F32(_) => self.0.indices::<f32>(array(K::NAME, s, l)?)?,
            CpuStorage::F64(_) => self.0.indices::<f64>(array(K::NAME, s, l)?)?,
            CpuStorage::F16(_) => self.0.indices(Array { values: &widen::<f16>(K::NAME, s, l)?, dims })?,
            CpuStorage::BF16(_) => self.0.indices(Array { values: &widen::<bf16>(K::NAME, s, l)?, dims })?,
            _ => bail!("{}: expected a floating point tensor", K::NAME),
        };
        Ok((CpuStorage::U32(indices), shape))
    }

    fn cuda_fwd(&self, s: &CudaStorage, l: &Layout) -> Result<(CudaStorage, Shape)> {
        on_cuda([(s, l)], |gpu, [input]| self.0.device(gpu, input))
    }
}

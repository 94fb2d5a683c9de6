//! Convolutions by NVIDIA's cuDNN.
//!
//! What cuDNN's heuristics take for the fastest algorithm of a geometry is looked up once and kept with its descriptors.
//! Only those whose results are the same bytes each time are considered, and nothing is measured, so that one machine
//! always takes the same.
#![allow(unsafe_code, reason = "cuDNN is C")]

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr::{null_mut, with_exposed_provenance, with_exposed_provenance_mut};
use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::cuda_backend::DeviceId;
use candle_core::cuda_backend::cudarc::cudnn::{CudnnError, result, sys};
use candle_core::{DType, Error, Result};

use super::convolution::{Convolution, Pass, Precision};
use super::{Buffer, Cuda, DeviceArray, Gpu};

/// Bytes of intermediate memory an algorithm may ask for.
const MOST_WORKSPACE: usize = 1 << 30;

type Cudnn<T> = std::result::Result<T, CudnnError>;

impl Cuda {
    /// A convolution of two contiguous arrays; nothing where cuDNN has no algorithm that fits.
    pub(in crate::ops) fn convolution(
        &self,
        convolution: &Convolution,
        a: DeviceArray<'_>,
        b: DeviceArray<'_>,
    ) -> Result<Option<Buffer>> {
        // A panic elsewhere left nothing half done here.
        let mut libraries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
        let library = match libraries.entry(self.device().id()) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Library::new(self).map_err(failure)?),
        };
        let handle = library.handle;
        let plan = match library.plans.get(convolution) {
            Some(plan) => plan,
            None => {
                // Sizes or types that cuDNN does not take are no failure of the program.
                let plan = Plan::new(handle, convolution).ok().flatten();
                library.plans.entry(*convolution).or_insert(plan)
            }
        };
        let Some(plan) = plan else { return Ok(None) };
        let result = self.alloc(convolution.dtype, convolution.dims().iter().product())?;
        let workspace = self.alloc(DType::U8, plan.workspace)?;
        plan.run(handle, convolution.dtype, [a.address, b.address, result.address, workspace.address])
            .map_err(failure)?;
        Ok(Some(result))
    }
}

fn failure(err: CudnnError) -> Error {
    Error::Msg(format!("cuDNN: {err}"))
}

/// One for each device, used by one thread at a time, and kept until the process ends.
static LIBRARIES: LazyLock<Mutex<HashMap<DeviceId, Library>>> = LazyLock::new(Mutex::default);

struct Library {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Convolution, Option<Plan>>,
}

// SAFETY: handles and descriptors may be used by any thread, as long as it is one at a time: the mutex above.
unsafe impl Send for Library {}

impl Library {
    fn new(cuda: &Cuda) -> Cudnn<Self> {
        let stream = cuda.device().cuda_stream();
        let handle = result::create_handle()?;
        // SAFETY: both exist; the stream is that of candle's device, which outlives every call for it.
        unsafe { result::set_stream(handle, stream.cu_stream().cast())? };
        Ok(Self { handle, plans: HashMap::new() })
    }
}

/// A descriptor, destroyed when dropped.
struct Descriptor<D: Copy> {
    raw: D,
    destroy: unsafe fn(D) -> Cudnn<()>,
}

impl<D: Copy> Drop for Descriptor<D> {
    fn drop(&mut self) {
        // SAFETY: it was created, and is destroyed once. There is nobody to tell that it failed.
        let _ = unsafe { (self.destroy)(self.raw) };
    }
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    InputGradient(sys::cudnnConvolutionBwdDataAlgo_t),
    WeightGradient(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// A convolution that cuDNN can do.
struct Plan {
    descriptors: Descriptors,
    algorithm: Algorithm,
    workspace: usize,
}

struct Descriptors {
    input: Descriptor<sys::cudnnTensorDescriptor_t>,
    weight: Descriptor<sys::cudnnFilterDescriptor_t>,
    result: Descriptor<sys::cudnnTensorDescriptor_t>,
    convolution: Descriptor<sys::cudnnConvolutionDescriptor_t>,
}

impl Descriptors {
    fn new(of: &Convolution, math: sys::cudnnMathType_t) -> Cudnn<Self> {
        let dtype = data_type(of.dtype)?;
        let (input, weight, out) = (sizes(of.input)?, sizes(of.weight)?, sizes(of.result)?);
        let [stride, padding, dilation, groups] = sizes([of.stride, of.padding, of.dilation, of.groups])?;
        let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let tensor = || -> Cudnn<_> {
            Ok(Descriptor { raw: result::create_tensor_descriptor()?, destroy: result::destroy_tensor_descriptor })
        };
        let new = Self {
            input: tensor()?,
            weight: Descriptor { raw: result::create_filter_descriptor()?, destroy: result::destroy_filter_descriptor },
            result: tensor()?,
            convolution: Descriptor {
                raw: result::create_convolution_descriptor()?,
                destroy: result::destroy_convolution_descriptor,
            },
        };
        // SAFETY: the descriptors were just created.
        unsafe {
            result::set_tensor4d_descriptor(new.input.raw, format, dtype, input)?;
            result::set_filter4d_descriptor(new.weight.raw, dtype, format, weight)?;
            result::set_tensor4d_descriptor(new.result.raw, format, dtype, out)?;
            let convolution = new.convolution.raw;
            let (sums, p, s, d) = (sum_type(of.dtype), padding, stride, dilation);
            result::set_convolution2d_descriptor(convolution, p, p, s, s, d, d, mode, sums)?;
            result::set_convolution_group_count(convolution, groups)?;
            result::set_convolution_math_type(convolution, math)?;
        }
        Ok(new)
    }
}

/// The first that succeeds, is deterministic and fits, with its memory and kind of arithmetic; cuDNN lists them by its
/// guess of their speed.
macro_rules! fastest {
    ($get:path, $most:literal, $($argument:expr),*) => {{
        // SAFETY: zeros are a value of each field.
        let mut found = [unsafe { std::mem::zeroed() }; $most];
        let mut count: c_int = 0;
        // SAFETY: the descriptors exist, and there is room for as many results as are asked for.
        unsafe { $get($($argument),*, $most, &raw mut count, found.as_mut_ptr())? };
        let fits = found.iter().take(count as usize).find(|one| usable(one.status, one.determinism, one.memory));
        fits.map(|one| (one.algo, one.mathType))
    }};
}

fn usable(status: sys::cudnnStatus_t, determinism: sys::cudnnDeterminism_t, memory: usize) -> bool {
    let deterministic = determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC;
    status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS && deterministic && memory <= MOST_WORKSPACE
}

impl Plan {
    fn new(handle: sys::cudnnHandle_t, of: &Convolution) -> Cudnn<Option<Self>> {
        let exact = of.dtype == DType::F32 && of.precision == Precision::Float32;
        let math = match of.dtype {
            DType::F32 if exact => sys::cudnnMathType_t::CUDNN_FMA_MATH,
            DType::F16 | DType::BF16 => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
            _ => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
        };
        let descriptors = Descriptors::new(of, math)?;
        let (x, w, y) = (descriptors.input.raw, descriptors.weight.raw, descriptors.result.raw);
        let c = descriptors.convolution.raw;
        let found = match of.pass {
            Pass::Forward => fastest!(result::get_convolution_forward_algorithm, 8, handle, x, w, c, y)
                .map(|(algorithm, math)| (Algorithm::Forward(algorithm), math)),
            Pass::InputGradient => fastest!(result::get_convolution_backward_data_algorithm, 6, handle, w, y, c, x)
                .map(|(algorithm, math)| (Algorithm::InputGradient(algorithm), math)),
            Pass::WeightGradient => fastest!(result::get_convolution_backward_filter_algorithm, 7, handle, x, y, c, w)
                .map(|(algorithm, math)| (Algorithm::WeightGradient(algorithm), math)),
        };
        let Some((algorithm, math)) = found else { return Ok(None) };
        // SAFETY: handle and descriptors exist.
        let workspace = unsafe {
            // The kind of arithmetic belongs to the algorithm; but the answer to the strict kind may be the default one,
            // which would allow TF32.
            if !exact {
                result::set_convolution_math_type(c, math)?;
            }
            match algorithm {
                Algorithm::Forward(a) => result::get_convolution_forward_workspace_size(handle, x, w, c, y, a)?,
                Algorithm::InputGradient(a) => {
                    result::get_convolution_backward_data_workspace_size(handle, w, y, c, x, a)?
                }
                Algorithm::WeightGradient(a) => {
                    result::get_convolution_backward_filter_workspace_size(handle, x, y, c, w, a)?
                }
            }
        };
        Ok(Some(Self { descriptors, algorithm, workspace }))
    }

    /// Starts it on the addresses of both factors, the result and the intermediate memory.
    fn run(&self, handle: sys::cudnnHandle_t, dtype: DType, [a, b, to, workspace]: [u64; 4]) -> Cudnn<()> {
        let Self { descriptors, workspace: bytes, .. } = self;
        let (x, w, y) = (descriptors.input.raw, descriptors.weight.raw, descriptors.result.raw);
        let c = descriptors.convolution.raw;
        let [a, b] = [a, b].map(|address| with_exposed_provenance::<c_void>(address as usize));
        let to = with_exposed_provenance_mut::<c_void>(to as usize);
        let space = if *bytes == 0 { null_mut() } else { with_exposed_provenance_mut(workspace as usize) };
        let (narrow, wide) = ([1f32, 0.0], [1f64, 0.0]);
        let [one, zero]: [*const c_void; 2] = match dtype {
            DType::F64 => [(&raw const wide[0]).cast(), (&raw const wide[1]).cast()],
            _ => [(&raw const narrow[0]).cast(), (&raw const narrow[1]).cast()],
        };
        // SAFETY: the descriptors were made of the arrays' sizes and type, the memory was allocated for them, and all of it
        // is used in the order of one stream.
        unsafe {
            match self.algorithm {
                Algorithm::Forward(algorithm) => {
                    result::convolution_forward(handle, one, x, a, w, b, c, algorithm, space, *bytes, zero, y, to)
                }
                Algorithm::InputGradient(algorithm) => {
                    result::convolution_backward_data(handle, one, w, b, y, a, c, algorithm, space, *bytes, zero, x, to)
                }
                Algorithm::WeightGradient(algorithm) => result::convolution_backward_filter(
                    handle, one, x, a, y, b, c, algorithm, space, *bytes, zero, w, to,
                ),
            }
        }
    }
}

fn sizes(dims: [usize; 4]) -> Cudnn<[c_int; 4]> {
    let mut result = [0; 4];
    for (result, size) in result.iter_mut().zip(dims) {
        *result = c_int::try_from(size).map_err(|_| not_supported())?;
    }
    Ok(result)
}

fn not_supported() -> CudnnError {
    CudnnError(sys::cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED)
}

fn data_type(dtype: DType) -> Cudnn<sys::cudnnDataType_t> {
    match dtype {
        DType::F32 => Ok(sys::cudnnDataType_t::CUDNN_DATA_FLOAT),
        DType::F64 => Ok(sys::cudnnDataType_t::CUDNN_DATA_DOUBLE),
        DType::F16 => Ok(sys::cudnnDataType_t::CUDNN_DATA_HALF),
        DType::BF16 => Ok(sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16),
        _ => Err(not_supported()),
    }
}

fn sum_type(dtype: DType) -> sys::cudnnDataType_t {
    match dtype {
        DType::F64 => sys::cudnnDataType_t::CUDNN_DATA_DOUBLE,
        _ => sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
    }
}

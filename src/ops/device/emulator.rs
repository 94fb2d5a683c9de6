//! A device imitated on the host, for tests: the same kernels, compiled by the host's compiler.
//!
//! Each thread of a block is a fiber, so barriers and exchanges between the threads of a warp mean what they mean on a
//! device. What tests cannot see there is looked for here: buffers are full of NaN before a kernel writes them, lie between
//! red zones, inputs are copies that must not change, arguments must have the sizes of the parameters, and the threads can
//! be run in several orders, between which a missing barrier shows as another result.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Layout, Result, WithDType, bail};
use half::{bf16, f16};

use super::array::host_span;
use super::launch::Arg;
use super::{Buffer, Gpu, Launch};

/// In which order the threads of a block run between two barriers. Results must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadOrder {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Backward,
    /// By leaps, so that neighbours are apart.
    Scattered,
}

impl ThreadOrder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Forward, Self::Backward, Self::Scattered];
}

thread_local! {
    static CURRENT: Cell<Option<ThreadOrder>> = const { Cell::new(None) };
}

/// Runs operations on CPU tensors that `f` applies on this thread by the kernels for devices, on the emulator.
///
/// With the variable `CANDLE_WSSS_EMULATE` set to 1, all threads of the process do so always.
pub fn emulated<R>(order: ThreadOrder, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<ThreadOrder>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(Some(order)));
    f()
}

/// The emulator, where operations are to run on it.
pub(in crate::ops) fn emulator() -> Option<Emulator> {
    static ALWAYS: OnceLock<bool> = OnceLock::new();
    let always = || *ALWAYS.get_or_init(|| std::env::var("CANDLE_WSSS_EMULATE").is_ok_and(|value| value == "1"));
    CURRENT.get().or_else(|| always().then_some(ThreadOrder::Forward)).map(Emulator)
}

/// Whether operations on CPU tensors that this thread applies run by the kernels for devices.
pub fn is_emulated() -> bool {
    emulator().is_some()
}

/// The imitation.
pub(in crate::ops) struct Emulator(ThreadOrder);

impl Emulator {
    /// A tensor of the host between red zones.
    pub(in crate::ops) fn copy(&self, storage: &CpuStorage, layout: &Layout) -> Result<Buffer> {
        let (address, len) = host_span(storage, layout)?;
        let dtype = storage.dtype();
        let mut memory = Memory::new(len * dtype.size_in_bytes());
        memory.fill_from(address);
        memory.expect_unchanged();
        Ok(Buffer { address: memory.address(), dtype, len, owner: Box::new(memory) })
    }

    pub(in crate::ops) fn storage(&self, buffer: Buffer) -> Result<CpuStorage> {
        let Ok(memory) = buffer.owner.downcast::<Memory>() else { bail!("a buffer of another device") };
        let bytes = memory.bytes();
        Ok(match buffer.dtype {
            DType::U8 => CpuStorage::U8(bytes.to_vec()),
            DType::U32 => CpuStorage::U32(numbers(bytes, u32::from_ne_bytes)),
            DType::F16 => CpuStorage::F16(numbers(bytes, f16::from_ne_bytes)),
            DType::BF16 => CpuStorage::BF16(numbers(bytes, bf16::from_ne_bytes)),
            DType::F32 => f32::to_cpu_storage_owned(numbers(bytes, f32::from_ne_bytes)),
            DType::F64 => f64::to_cpu_storage_owned(numbers(bytes, f64::from_ne_bytes)),
            other => bail!("no kernel writes {other:?}"),
        })
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|bytes| from(*bytes)).collect()
}

impl Gpu for Emulator {
    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        let memory = Memory::new(len * dtype.size_in_bytes());
        Ok(Buffer { address: memory.address(), dtype, len, owner: Box::new(memory) })
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        if let Some(defect) = launch.defect() {
            bail!("{defect}");
        }
        if launch.is_empty() {
            return Ok(());
        }
        let Ok(name) = CString::new(launch.name.as_ref()) else { bail!("a kernel's name holds a zero") };
        let (values, sizes): (Vec<*const c_void>, Vec<u32>) = launch.arguments.iter().map(parts).unzip();
        let blocks = launch.blocks.map(|count| count as u32);
        let mut message = [0u8; 200];
        // SAFETY: the emulator checks that the kernel has these sizes of parameters; what the kernel does with the
        // addresses in them is what is being tested. The message is terminated within its length.
        #[allow(unsafe_code, reason = "the emulator and the kernels are C++")]
        let done = unsafe {
            wsss_emulate(
                name.as_ptr(),
                blocks.as_ptr(),
                launch.threads as u32,
                launch.shared as u32,
                self.0 as u32,
                values.as_ptr(),
                sizes.as_ptr(),
                sizes.len() as u32,
                message.as_mut_ptr().cast(),
                message.len() as u32,
            )
        };
        if done == 0 {
            return Ok(());
        }
        let reason = CStr::from_bytes_until_nul(&message).map(CStr::to_string_lossy).unwrap_or_default();
        bail!("kernel {} of {}: {reason}", launch.name, launch.module)
    }
}

fn parts(argument: &Arg) -> (*const c_void, u32) {
    match argument {
        Arg::Pointer(value) | Arg::U64(value) => ((&raw const *value).cast(), 8),
        Arg::I32(value) => ((&raw const *value).cast(), 4),
        Arg::F64(value) => ((&raw const *value).cast(), 8),
    }
}

#[allow(unsafe_code, reason = "the emulator is C++")]
unsafe extern "C" {
    fn wsss_emulate(
        name: *const c_char,
        blocks: *const u32,
        threads: u32,
        shared: u32,
        order: u32,
        values: *const *const c_void,
        sizes: *const u32,
        count: u32,
        message: *mut c_char,
        message_len: u32,
    ) -> i32;
}

/// Bytes between red zones. Every byte is 0xff at first: NaN in all floating point types.
struct Memory {
    words: Vec<u128>,
    len: usize,
    before: Option<Vec<u8>>,
}

const RED: usize = 16;
const RED_WORD: u128 = u128::from_ne_bytes([0xff; 16]);

impl Memory {
    fn new(len: usize) -> Self {
        Self { words: vec![RED_WORD; 2 * RED + len.div_ceil(size_of::<u128>())], len, before: None }
    }

    fn address(&self) -> u64 {
        self.words[RED..].as_ptr() as u64
    }

    #[allow(unsafe_code, reason = "kernels wrote these bytes through an address")]
    fn bytes(&self) -> &[u8] {
        // SAFETY: the words after the first red zone have at least `len` bytes; every byte pattern is a u8.
        unsafe { std::slice::from_raw_parts(self.words[RED..].as_ptr().cast(), self.len) }
    }

    #[allow(unsafe_code, reason = "the source is known by its address")]
    fn fill_from(&mut self, address: u64) {
        // SAFETY: `address` is that of a live slice of `len` bytes (`host_span`), which these words do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(address as *const u8, self.words[RED..].as_mut_ptr().cast(), self.len);
        }
    }

    fn expect_unchanged(&mut self) {
        self.before = Some(self.bytes().to_vec());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let last = self.words.len() - RED;
        let zones = self.words[..RED].iter().chain(&self.words[last..]);
        assert!(zones.into_iter().all(|word| *word == RED_WORD), "a kernel wrote beside its buffer");
        assert!(self.before.as_deref().is_none_or(|before| before == self.bytes()), "a kernel wrote to its input");
    }
}

//! The emulator finds mistakes: kernels that have one each, see `faulty.cuh`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{CpuStorage, DType, Layout, Result};

use super::{Arg, Gpu, Launch, ThreadOrder, emulated, emulator};

const COUNT: usize = 32;

/// What a kernel makes of the numbers from 0 on.
fn run(name: &str, order: ThreadOrder, blocks: usize) -> Result<Vec<f32>> {
    launched(name, order, |x, y| (vec![x, y, Arg::I32(COUNT as i32)], COUNT, blocks))
}

fn launched(
    name: &str,
    order: ThreadOrder,
    with: impl FnOnce(Arg, Arg) -> (Vec<Arg>, usize, usize),
) -> Result<Vec<f32>> {
    emulated(order, || {
        let Some(gpu) = emulator() else { candle_core::bail!("no emulator") };
        let x = CpuStorage::F32((0..COUNT).map(|i| i as f32).collect());
        let x = gpu.copy(&x, &Layout::contiguous(COUNT))?;
        let y = gpu.alloc(DType::F32, COUNT)?;
        let (arguments, threads, blocks) = with(x.pointer(), y.pointer());
        gpu.launch(&Launch {
            module: "faulty",
            name: name.into(),
            blocks: [blocks, 1, 1],
            threads,
            shared: COUNT * size_of::<f32>(),
            arguments: &arguments,
        })?;
        match gpu.storage(y)? {
            CpuStorage::F32(values) => Ok(values),
            _ => candle_core::bail!("another type"),
        }
    })
}

fn reversed() -> Vec<f32> {
    (0..COUNT).rev().map(|i| i as f32).collect()
}

fn panic_of(name: &str) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(name, ThreadOrder::Forward, 1))) else {
        return "no panic".to_string();
    };
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[test]
fn a_kernel_without_a_mistake_passes() {
    for order in ThreadOrder::ALL {
        for blocks in [1, 3] {
            assert_eq!(run("faulty_none", order, blocks).unwrap(), reversed());
        }
    }
    // Nothing to do is no mistake.
    assert!(run("faulty_none", ThreadOrder::Forward, 0).unwrap().iter().all(|value| value.is_nan()));
}

#[test]
fn a_missing_barrier_shows_between_orders() {
    let bits =
        |order| -> Vec<u32> { run("faulty_no_barrier", order, 1).unwrap().into_iter().map(f32::to_bits).collect() };
    let [forward, backward, scattered] = ThreadOrder::ALL.map(bits);
    assert!(forward != backward && backward != scattered && forward != scattered);
}

#[test]
fn writing_beside_a_buffer_panics() {
    for name in ["faulty_beside", "faulty_before"] {
        let message = panic_of(name);
        assert!(message.contains("beside its buffer"), "{name}: {message}");
    }
}

#[test]
fn writing_to_an_input_panics() {
    assert!(panic_of("faulty_input").contains("to its input"));
}

#[test]
fn what_was_not_written_is_not_a_number() {
    let values = run("faulty_unwritten", ThreadOrder::Forward, 1).unwrap();
    assert!(values[COUNT - 1].is_nan());
    assert_eq!(values[0], 0.0);
}

#[test]
fn a_barrier_that_not_all_reach_is_an_error() {
    for order in ThreadOrder::ALL {
        let message = run("faulty_divergent", order, 1).unwrap_err().to_string();
        assert!(message.contains("different barriers"), "{message}");
        // The next kernel is not affected.
        assert_eq!(run("faulty_none", order, 1).unwrap(), reversed());
    }
}

#[test]
fn shared_memory_of_another_block_is_gone() {
    assert_eq!(run("faulty_stale", ThreadOrder::Forward, 1).unwrap(), reversed());
    let values = run("faulty_stale", ThreadOrder::Forward, 2).unwrap();
    assert!(values.iter().all(|value| value.is_nan()), "{values:?}");
}

#[test]
fn arguments_must_have_the_number_and_sizes_of_the_parameters() {
    let count = Arg::I32(COUNT as i32);
    type Wrong = fn(Arg, Arg, Arg) -> Vec<Arg>;
    let wrong: [(Wrong, &str); 4] = [
        (|x, y, _| vec![x, y], "2 arguments for 3 parameters"),
        (|x, y, count| vec![x, y, count, count], "4 arguments for 3 parameters"),
        (|x, y, _| vec![x, y, Arg::U64(32)], "argument 2 has 8 bytes, the parameter 4"),
        (|x, _, count| vec![x, count, count], "argument 1 has 4 bytes, the parameter 8"),
    ];
    for (arguments, reason) in wrong {
        let run = launched("faulty_none", ThreadOrder::Forward, |x, y| (arguments(x, y, count), COUNT, 1));
        let message = run.unwrap_err().to_string();
        assert!(message.contains(reason) && message.contains("faulty_none"), "{message}");
    }
}

#[test]
fn what_no_device_could_start_is_an_error() {
    let start = |name: &str, threads: usize, blocks: usize| {
        launched(name, ThreadOrder::Forward, |x, y| (vec![x, y, Arg::I32(1)], threads, blocks)).unwrap_err().to_string()
    };
    assert!(start("faulty_no_such", COUNT, 1).contains("no such kernel"));
    assert!(start("faulty_none", 1025, 1).contains("1025 threads"));
    assert!(start("faulty_none", 0, 1).contains("0 threads"));
    assert!(start("faulty_none", COUNT, 1 << 31).contains("blocks"));
}

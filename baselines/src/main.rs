//! The program `wsss`.

use std::process::ExitCode;

/// Keeps pages between operations: glibc gives every large tensor back, and faults it in again for the next.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    candle_wsss_baselines::cli::main()
}

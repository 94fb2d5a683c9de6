//! Our side of `benches/peer/reach.py`: `cargo bench -p candle-wsss-baselines --bench reach -- [CASE ...]`.
//!
//! Alone it prints one JSON object for each case. For the script it writes what the cases are computed from
//! (`--make FOLDER`), which the peers read as well, and then stays and answers one JSON object for each line it reads
//! (`--serve FOLDER`), so that both sides can take turns in one run.
//!
//! Everything goes through the public functions of the two crates, in float32, forward and backward. Memory is counted by
//! the allocator, which is that of the program.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

mod cases;
mod inputs;
mod measure;
mod rates;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;

/// Counts what the program's own allocator is asked for.
#[global_allocator]
static ALLOCATOR: cap::Cap<mimalloc::MiMalloc> = cap::Cap::new(mimalloc::MiMalloc, usize::MAX);

/// Milliseconds spent on a case where nobody says.
const BUDGET: f64 = 300.0;

struct Arguments {
    make: Option<PathBuf>,
    serve: Option<PathBuf>,
    device: String,
    cases: Vec<String>,
}

/// Bytes of stack of a thread, as the program's have.
const STACK: usize = 64 << 20;

/// In a pool, as the program runs: from outside, every operation is handed to another thread and waited for.
fn main() -> Result<()> {
    rayon::ThreadPoolBuilder::new().stack_size(STACK).build()?.install(run)
}

fn run() -> Result<()> {
    let Arguments { make, serve, device, cases } = arguments()?;
    let names = if cases.is_empty() { cases::NAMES.map(str::to_string).to_vec() } else { cases };
    if let Some(folder) = make {
        return make_inputs(&folder, &names);
    }
    let device = match device.as_str() {
        "cpu" => Device::Cpu,
        "cuda" => Device::new_cuda(0)?,
        other => bail!("device must be cpu or cuda, is {other}"),
    };
    if let Some(folder) = serve {
        return server::serve(&folder, &device);
    }
    let folder = tempfile::tempdir()?;
    for name in &names {
        make_inputs(folder.path(), std::slice::from_ref(name))?;
        let mut server = server::Server::new(folder.path(), &device);
        for command in [format!("prepare {name} ours"), format!("run ours {BUDGET}"), "memory ours".to_string()] {
            println!("{}", server.answer(&command)?);
        }
    }
    Ok(())
}

fn make_inputs(folder: &Path, names: &[String]) -> Result<()> {
    for name in names {
        let tensors = cases::make(name).with_context(|| format!("case {name}"))?;
        candle_core::safetensors::save(&tensors, inputs::file(folder, name))?;
    }
    Ok(())
}

// `--bench` is what cargo adds.
fn arguments() -> Result<Arguments> {
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut arguments = Arguments { make: None, serve: None, device: "cpu".to_string(), cases: Vec::new() };
    while let Some(argument) = given.next() {
        let mut value = || given.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--make" => arguments.make = Some(value()?.into()),
            "--serve" => arguments.serve = Some(value()?.into()),
            "--device" => arguments.device = value()?,
            name if cases::NAMES.contains(&name) => arguments.cases.push(argument),
            other => bail!("no case {other}; there are {}", cases::NAMES.join(", ")),
        }
    }
    Ok(arguments)
}

//! The program: what was typed, what it means, what it prints.

mod args;
mod environment;
mod shared;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::error::Result;
use crate::run::Progress;

use args::Command;

pub use args::Cli;

/// Runs the program and decides its exit code, the only place that does.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    environment::prepare();
    match in_pool(|| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            report(&err);
            ExitCode::from(err.exit_code())
        }
    }
}

/// Whoever is in a pool does his part of what is split; from outside, every split is handed over and waited for.
fn in_pool<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    // Backward walks the graph recursively.
    let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK).build();
    pool.map_err(|err| crate::Error::Config(format!("threads: {err}")))?.install(work)
}

const STACK: usize = 64 << 20;

#[allow(clippy::print_stderr, reason = "the one place errors are printed")]
fn report(err: &crate::Error) {
    eprintln!("error: {err}");
}

fn run(cli: Cli) -> Result<()> {
    let progress = Progress::new(cli.quiet);
    match cli.command {
        Command::Synth(args) => verbs::synth::run(&args, &progress),
        Command::Data(command) => verbs::data::run(&command, &progress),
        Command::Weights(command) => verbs::weights::run(&command, &progress),
        Command::Pretrain(args) => verbs::pretrain::run(&args, &progress),
        Command::Train(args) => verbs::train::run(&args, &progress),
        Command::Seeds(args) => verbs::seeds::run(&args, &progress),
        Command::Crf(args) => verbs::crf::run(&args, &progress),
        Command::Eval(args) => verbs::eval::run(&args),
        Command::Viz(args) => verbs::viz::run(&args, &progress),
        Command::Compare(args) => verbs::compare::run(&args, &progress),
        Command::Config(args) => verbs::config::run(&args),
    }
}

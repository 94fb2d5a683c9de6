//! The program: what was typed, what it means, what it prints.

mod args;
mod commands;
mod environment;

use std::process::ExitCode;

use clap::Parser;

pub use args::Cli;

/// Runs the program and decides its exit code, the only place that does.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    environment::prepare();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            report(&err);
            ExitCode::from(err.exit_code())
        }
    }
}

#[allow(clippy::print_stderr, reason = "the one place errors are printed")]
fn report(err: &crate::Error) {
    eprintln!("error: {err}");
}

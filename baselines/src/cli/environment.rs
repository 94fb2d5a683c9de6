//! Settings of candle and of the allocator that can only be made before a process starts.

/// Name and value, each used unless the user has set it.
///
/// candle splits elementwise work over a pool that takes one caller at a time and spins while it waits: two trainings
/// side by side stand in each other's way, and on small tensors even one is slower for it. The allocator gives memory
/// back after a second and faults it in again at the next step.
const SETTINGS: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("MIMALLOC_PURGE_DELAY", "-1")];

/// Starts the program anew in its own place with the settings made, unless they are there.
///
/// Returns where that is not possible; the program then runs as it is, slower, with the same results.
#[cfg(unix)]
pub(super) fn prepare() {
    use std::os::unix::process::CommandExt;

    let missing: Vec<_> = SETTINGS.iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    let Ok(program) = std::env::current_exe() else { return };
    if missing.is_empty() {
        return;
    }
    let mut command = std::process::Command::new(program);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    // Only comes back if it failed.
    let _failure = command.args(std::env::args_os().skip(1)).envs(missing.into_iter().copied()).exec();
}

/// Elsewhere a process cannot be replaced.
#[cfg(not(unix))]
pub(super) fn prepare() {}

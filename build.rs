//! Compiles the kernels: `src/ops/<operation>/kernel.cu`.
//!
//! With the feature `cuda`, by nvcc to PTX, which the driver compiles for the device it finds. `NVCC` names the compiler,
//! else it is looked for in `$CUDA_HOME/bin`, else on the path. `CUDA_COMPUTE_CAP` is the least capability, 80 unless set.
//! With the feature `emulate`, by the host's C++ compiler, all of them with the emulator into one library.

use std::env::{var, var_os};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=src/ops");
    for name in ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(var("OUT_DIR")?);
    let kernels = kernels()?;
    if var_os("CARGO_FEATURE_CUDA").is_some() {
        for_devices(&kernels, &out)?;
    }
    if var_os("CARGO_FEATURE_EMULATE").is_some() {
        for_the_host(&kernels, &out)?;
    }
    Ok(())
}

/// Names of operations with a kernel, and the files.
fn kernels() -> Result<Vec<(String, PathBuf)>> {
    let mut kernels = Vec::new();
    for folder in fs::read_dir("src/ops")? {
        let folder = folder?;
        let file = folder.path().join("kernel.cu");
        if file.is_file() {
            kernels.push((folder.file_name().to_string_lossy().into_owned(), file));
        }
    }
    kernels.sort();
    Ok(kernels)
}

fn for_devices(kernels: &[(String, PathBuf)], out: &Path) -> Result<()> {
    let nvcc = var_os("NVCC").map(PathBuf::from);
    let nvcc = nvcc.or_else(|| var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc")));
    let nvcc = nvcc.unwrap_or_else(|| "nvcc".into());
    let capability = var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".to_string());
    let mut modules = String::from("fn ptx(module: &str) -> Option<&'static str> {\n    match module {\n");
    for (name, file) in kernels {
        let ptx = out.join(name).with_extension("ptx");
        let mut command = Command::new(&nvcc);
        command.args(["-ptx", "-O3", "-std=c++17", "-lineinfo"]).arg(format!("-arch=compute_{capability}"));
        let status = command.arg("-o").arg(&ptx).arg(file).status();
        let status =
            status.map_err(|err| format!("feature `cuda` needs nvcc; {} cannot be run: {err}", nvcc.display()))?;
        if !status.success() {
            return Err(format!("{} failed on {}", nvcc.display(), file.display()).into());
        }
        modules += &format!("        \"{name}\" => Some(include_str!(concat!(env!(\"OUT_DIR\"), \"/{name}.ptx\"))),\n");
    }
    modules += "        _ => None,\n    }\n}\n";
    Ok(fs::write(out.join("modules.rs"), modules)?)
}

#[cfg(feature = "emulate")]
fn for_the_host(kernels: &[(String, PathBuf)], out: &Path) -> Result<()> {
    // One translation unit, so that the linker cannot leave out kernels that are found by their name only.
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let mut all = format!("#include \"{}\"\n", root.join("src/ops/device/emulator.cpp").display());
    for (name, file) in kernels {
        all += &format!("namespace {name} {{\n#include \"{}\"\n}}\n", root.join(file).display());
    }
    let file = out.join("kernels.cpp");
    fs::write(&file, all)?;
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .define("WSSS_EMULATE", None)
        // Fibers leave their stacks by jumps that checked builds take for mistakes.
        .flag("-U_FORTIFY_SOURCE")
        .flag_if_supported("-fcf-protection=none")
        .flag_if_supported("-Wno-unknown-pragmas")
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-unused-function")
        .flag_if_supported("-Wno-clobbered")
        .file(&file)
        .try_compile("wsss_emulated")?;
    Ok(())
}

#[cfg(not(feature = "emulate"))]
fn for_the_host(_: &[(String, PathBuf)], _: &Path) -> Result<()> {
    Ok(())
}

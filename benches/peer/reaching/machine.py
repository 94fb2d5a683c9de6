"""Where it was measured: the machine, its rates, the versions."""

import os
import pathlib
import platform
import re
import subprocess

from .build import ROOT
from .measure import load
from .processes import Failed


def described(sides, options):
    """Facts as pairs, for the head of the report, and the rates that floors are counted with."""
    rates = sides["ours"].ask("rates")
    facts = [
        ("processor", f"{processor()}, {os.cpu_count()} cores"),
        ("device", "CPU" if options.device == "cpu" else graphics()),
        ("threads", str(options.threads)),
        ("time", "of the processor" if options.device == "cpu" and options.threads == 1 else "on the wall"),
        ("load when it began", f"{load():.2f}"),
        ("allocator of ours", "mimalloc, as the program has it"),
        ("copy, read and written", f"{rates['copy_bytes_per_s'] / 1e9:.1f} GB/s"),
        ("float32 matrix product", f"{rates['gemm_flops_per_s'] / 1e9:.0f} GFLOP/s"),
        ("candle", locked("candle-core")),
        ("gemm", locked("gemm")),
        ("commit", commit()),
    ]
    if not options.no_peers:
        try:
            versions = sides["peer"].ask("versions")
            facts.append(("PyTorch", f"{versions['torch']}, Python {versions['python']}"))
        except Failed as failure:
            facts.append(("PyTorch", f"none: {failure}"))
        if options.device == "cpu":
            facts.append(("allocator of the peers", "glibc, as it is, and told to keep what it has"))
    return facts, rates


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        name = re.search(r"model name\s*:\s*(.+)", text).group(1)
        return f"{name} with AVX-512" if "avx512f" in text else name
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def graphics():
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "a GPU that nvidia-smi does not name"


def locked(name):
    text = (ROOT / "Cargo.lock").read_text()
    found = re.findall(rf'name = "{name}"\nversion = "([^"]+)"', text)
    return " and ".join(found)


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"

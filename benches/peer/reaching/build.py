"""Our benches, built by cargo."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]


def built(name, cargo, features=()):
    """The path of the bench's program. `cargo` is the command, a list."""
    # One package where features are asked for: a workspace has no features.
    packages = ["-p", "candle-wsss-baselines", "--features", ",".join(features)] if features else ["--workspace"]
    command = [*cargo, "bench", *packages, "--bench", name, "--no-run", "--message-format=json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"cargo could not build the bench `{name}`")
    for message in map(json.loads, filter(lambda line: line.startswith("{"), done.stdout.splitlines())):
        if message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    sys.exit(f"cargo built no bench `{name}`")

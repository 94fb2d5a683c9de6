"""Ours and the peers in turn in one run: the table of what was to be reached.

    python benches/peer/reach.py                       # everything that fits into about 12 minutes
    python benches/peer/reach.py --check               # the peers against the golden vectors, no timing
    python benches/peer/reach.py --device cuda         # the same on the first GPU; cargo builds the feature `cuda`
    python benches/peer/reach.py --only ppc-16 seam    # some cases
    python benches/peer/reach.py --out docs/performance.md

Needs Python 3.10 with torch, numpy and safetensors, and a C++ compiler for torch.compile; pydensecrf, where it is to be
measured, may have an interpreter of its own (`--crf-python`, packages: pydensecrf, numpy, safetensors).

Our bench writes the inputs of every case, all sides read them, and a side gets no ratio unless its value and the lengths of
its gradients are ours within 1e-4. Then the sides take turns, 150 ms each, the first one changing from round to round. The
peers run twice, with glibc's malloc as it is and told to keep its pages; a ratio counts as reached against the faster.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from reaching import machine, table
from reaching.build import built
from reaching.cases import CASES, NAMES
from reaching.measure import load, measured
from reaching.processes import Failed, Sides

FOLDER = pathlib.Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side, unless time runs out")
    parser.add_argument("--seconds", type=float, default=12, help="for the turns of one case")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", default="1", help="of each side: a number, or `all`")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="CASE", help=", ".join(NAMES))
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-peers", action="store_true", help="ours alone, for a machine without PyTorch")
    parser.add_argument("--check", action="store_true", help="the peers against the golden vectors, then end")
    parser.add_argument("--out", type=pathlib.Path, help="file that gets the report, between its markers if it has them")
    parser.add_argument("--json", type=pathlib.Path, help="file that gets everything measured")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers' packages")
    parser.add_argument("--crf-python", help="interpreter that has pydensecrf, if it is another")
    parser.add_argument("--cargo", default="cargo", help="command that stands in for cargo")
    options = parser.parse_args()
    options.threads = os.cpu_count() if options.threads == "all" else int(options.threads)
    return options


def check(python):
    """The peers are right, or nothing is timed."""
    command = [python, "-c", "from peers import golden; golden.check()"]
    return subprocess.run(command, cwd=FOLDER, stdout=sys.stderr).returncode


def run(options, folder):
    program = built("reach", options.cargo.split(), ["cuda"] if options.device == "cuda" else [])
    names = options.only or NAMES
    cases = [case for case in CASES if case.name in names and (options.device == "cpu" or case.is_on_gpu)]
    log = folder / "log"
    sides = Sides(program, str(folder), options, log)
    results = {}
    try:
        facts, rates = machine.described(sides, options)
        for case in cases:
            print(f"{case.name} (load {load():.2f})", file=sys.stderr, flush=True)
            subprocess.run([program, "--make", str(folder), case.name], check=True)
            results[case.name] = measured(case, sides, options)
            (folder / f"{case.name}.safetensors").unlink()
        facts.append(("load when it ended", f"{load():.2f}"))
    except Failed as failure:
        sys.exit(f"{failure}\n{log.read_text()}")
    finally:
        sides.end()
    return results, facts, rates


def write(path, device, text):
    """Into the file, between `<!-- reach DEVICE -->` and `<!-- /reach DEVICE -->` where it has these."""
    begin, end = f"<!-- reach {device} -->", f"<!-- /reach {device} -->"
    old = path.read_text() if path.exists() else ""
    if begin in old and end in old:
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text = re.sub(pattern, lambda _: f"{begin}\n\n{text}\n{end}", old, flags=re.DOTALL)
    path.write_text(text)


def main():
    options = arguments()
    clock = time.monotonic()
    if not options.no_peers and check(options.python):
        sys.exit("a peer computes something else than the golden vectors say: nothing was timed")
    if options.check:
        return
    with tempfile.TemporaryDirectory() as folder:
        results, facts, rates = run(options, pathlib.Path(folder))
    facts.append(("the run took", f"{(time.monotonic() - clock) / 60:.1f} minutes"))
    text = table.report(results, facts, rates, options)
    print(text)
    if options.out:
        write(options.out, options.device, text)
    if options.json:
        everything = {"facts": dict(facts), "rates": rates, "results": results}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()

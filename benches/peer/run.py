"""Runs one of our benches and its Python peer in turns, and prints medians and ratios.

    python benches/peer/run.py data                       # 7 rounds, images of the embedded data set
    python benches/peer/run.py data -- --images FOLDER    # what follows `--` goes to both programs
    python benches/peer/run.py data --rounds 15 --python OTHER/bin/python

A bench `<name>` is a plain program of cargo (`[[bench]]` of either crate), its peer `benches/peer/<name>.py`. Both take
`--json` and print one object a line, {"what": ..., "ms_cpu": ...}: CPU time, so that a busy machine disturbs little, and in
turns, so that what disturbs disturbs both. Lines of one program only are printed without a ratio.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from reaching.build import built

FOLDER = pathlib.Path(__file__).parent
ROOT = FOLDER.parent.parent
# Benches that write their own input: called with `--make FOLDER` before, and both with `--images FOLDER`.
MAKES_IMAGES = {"data"}


def measured(command):
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {line["what"]: line["ms_cpu"] for line in lines}


def report(rounds):
    ours, peers = ({}, {})
    for both in rounds:
        for times, result in zip((ours, peers), both):
            for what, milliseconds in result.items():
                times.setdefault(what, []).append(milliseconds)
    print("| ms of CPU | ours | peer | peer / ours | lowest to highest of the rounds |\n|:--|--:|--:|--:|--:|")
    for what in [*ours, *(what for what in peers if what not in ours)]:
        cells = [f"{statistics.median(times[what]):.2f}" if what in times else "" for times in (ours, peers)]
        if what in ours and what in peers:
            ratios = sorted(peer / own for own, peer in zip(ours[what], peers[what]) if own > 0)
            if ratios:
                cells += [f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"]
        print("| " + " | ".join([what, *cells, *[""] * (4 - len(cells))]) + " |")


def main():
    given, passed = sys.argv[1:], []
    if "--" in given:
        at = given.index("--")
        given, passed = given[:at], given[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("run", "reach")))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peer's packages")
    parser.add_argument("--cargo", default="cargo", help="command that stands in for cargo")
    arguments = parser.parse_args(given)
    program = built(arguments.bench, arguments.cargo.split())
    with tempfile.TemporaryDirectory() as folder:
        if arguments.bench in MAKES_IMAGES and "--images" not in passed:
            subprocess.run([program, "--make", folder], cwd=ROOT, check=True)
            passed = [*passed, "--images", folder]
        peer = [arguments.python, str(FOLDER / f"{arguments.bench}.py")]
        commands = [[program, "--json", *passed], [*peer, "--json", *passed]]
        rounds = []
        for number in range(arguments.rounds):
            # Each is first in every other round.
            order = [0, 1] if number % 2 == 0 else [1, 0]
            results = {which: measured(commands[which]) for which in order}
            rounds.append((results[0], results[1]))
        report(rounds)


if __name__ == "__main__":
    main()

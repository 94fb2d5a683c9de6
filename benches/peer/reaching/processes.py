"""Programs that stay and answer a line by a line: ours, and the peers under two allocators."""

import json
import os
import pathlib
import subprocess

PEERS = pathlib.Path(__file__).parents[1]

# As the program `wsss` starts itself.
OURS = {"CANDLE_NUM_THREADS": "1", "MIMALLOC_PURGE_DELAY": "-1"}
# glibc keeps what it has once got, instead of giving every large tensor back to the system.
RETAINING = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}


class Failed(Exception):
    """The other side could not do it, and says why."""


class Process:
    """One side. `log` gets what it prints besides answers."""

    def __init__(self, command, environment, threads, log, folder=None):
        counts = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(counts, str(threads)), **environment}
        self.log = open(log, "a")
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                      env=environment, cwd=folder)

    def ask(self, *words):
        try:
            self.child.stdin.write(" ".join(map(str, words)) + "\n")
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"the process ended, see {self.log.name}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def end(self):
        self.child.stdin.close()
        try:
            self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.log.close()


class Sides:
    """All processes of a run, by name: `ours`, `peer` (default malloc), `retaining`, `crf`."""

    def __init__(self, program, inputs, options, log):
        device, threads = options.device, options.threads
        peer = ["-m", "peers.serve", inputs, device, str(threads)]
        self.processes = {"ours": Process([program, "--serve", inputs, "--device", device], OURS, threads, log)}

        def start(name, python, environment):
            self.processes[name] = Process([python, *peer], environment, threads, log, PEERS)

        if not options.no_peers:
            start("peer", options.python, {})
            if device == "cpu":
                # On a GPU it makes no difference.
                start("retaining", options.python, RETAINING)
                start("crf", options.crf_python or options.python, {})

    def __getitem__(self, name):
        return self.processes[name]

    def of(self, case, options):
        """(name of the column, process, form) of every side of a case; ours first."""
        sides = [("ours", "ours", "ours")]
        sides += [(form, "ours", form) for form in case.beside]
        if options.no_peers:
            return sides
        if case.name.startswith("crf-"):
            return sides + ([("eager", "crf", "eager")] if options.device == "cpu" else [])
        forms = [*case.wanted, *case.further]
        if options.no_compile:
            forms = [form for form in forms if not form.startswith("compile")]
        sides += [(form, "peer", form) for form in forms]
        if options.device == "cpu":
            sides += [(f"{form} retaining", "retaining", form) for form in forms]
        return sides

    def end(self):
        for process in self.processes.values():
            process.end()

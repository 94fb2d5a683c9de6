"""Answers the lines of `reach.py` with one JSON object each, as our bench does: see `baselines/benches/reach/server.rs`.

    python -m peers.serve FOLDER DEVICE THREADS
"""

import gc
import itertools
import json
import os
import pathlib
import sys
import time
import traceback


class Server:
    def __init__(self, folder, device, threads):
        self.folder, self.device, self.threads = pathlib.Path(folder), device, threads
        self.case, self.forms = None, {}

    def answer(self, line):
        command, *words = line.split()
        return getattr(self, command)(*words)

    def versions(self):
        import torch

        return {"torch": torch.__version__, "python": sys.version.split()[0]}

    def prepare(self, case, form):
        if self.case != case:
            self.drop()
        self.case = case
        path = self.folder / f"{case}.safetensors"
        if case.startswith("crf-"):
            from peers.lattice import Lattice

            self.forms[form] = Lattice(path)
        else:
            import torch

            torch.set_num_threads(self.threads)
            torch.manual_seed(0)
            from peers.timed import Timed

            self.forms[form] = Timed(case, form, path, self.device)
        return self.named(form, self.forms[form].summary())

    def run(self, form, budget):
        step, steps = self.forms[form].step, 0
        self.wait()
        wall, cpu = time.perf_counter(), time.process_time()
        while steps == 0 or (time.perf_counter() - wall) * 1e3 < float(budget):
            step()
            self.wait()
            steps += 1
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return self.named(form, {"ms_cpu": cpu * 1e3 / steps, "ms_wall": wall * 1e3 / steps, "steps": steps})

    def memory(self, form):
        """What a step takes at most above what is there, counted by PyTorch's allocator."""
        import torch

        step = self.forms[form].step
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step()
            return self.named(form, {"peak_bytes": torch.cuda.max_memory_allocated() - before})
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
            outcome = step()
        events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
        sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        del outcome
        return self.named(form, {"peak_bytes": max(itertools.accumulate(sizes), default=0)})

    def drop(self):
        self.forms = {}
        gc.collect()
        return {}

    def wait(self):
        if self.device != "cpu":
            import torch

            torch.cuda.synchronize()

    def named(self, form, answer):
        return {**answer, "what": self.case, "side": form}


def main():
    folder, device, threads = sys.argv[1:]
    server = Server(folder, device, int(threads))
    # Whatever a compiler prints is not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = server.answer(line)
        except Exception as error:  # noqa: BLE001, the driver decides
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

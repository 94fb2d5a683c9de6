"""One case: prepared on every side, compared, then timed in turns."""

import statistics
import sys
import time

from .processes import Failed

# Milliseconds of one turn.
TURN = 150
# Largest relative difference of values and of the lengths of gradients.
ALLOWED = 1e-4
# Share of labels that must be equal where a CRF decides.
AGREEMENT = 0.995


def measured(case, sides, options):
    """Everything about one case: times in milliseconds by side (a list, one a round), what failed, memory."""
    result = {"times": {}, "failed": {}, "differs": {}, "memory": {}, "load": []}
    prepared = prepare(case, sides, options, result)
    if "ours" in prepared:
        in_turns(prepared, options, result)
        remember(case, prepared, options, result)
    for process in sides.processes.values():
        try:
            process.ask("drop")
        except Failed as failure:
            result["failed"]["drop"] = str(failure)
    return result


def prepare(case, sides, options, result):
    prepared, ours = {}, None
    for column, process, form in sides.of(case, options):
        clock = time.monotonic()
        try:
            summary = sides[process].ask("prepare", case.name, form)
        except Failed as failure:
            result["failed"][column] = str(failure)
            continue
        print(f"  {column}: ready after {time.monotonic() - clock:.0f} s", file=sys.stderr, flush=True)
        if column == "ours":
            ours = summary
        difference = disagreement(ours, summary)
        if difference:
            result["differs"][column] = difference
            print(f"  {column} computes something else: {difference}", file=sys.stderr, flush=True)
            continue
        result.setdefault("summaries", {})[column] = summary
        prepared[column] = (sides[process], form)
    return prepared


def disagreement(ours, theirs):
    """What is not the same, in words; nothing when all is."""
    if "agreement" in theirs and theirs["agreement"] < AGREEMENT:
        return f"{theirs['agreement']:.4f} of the labels agree"
    if "value" not in theirs:
        return None
    pairs = [("value", ours["value"], theirs["value"])]
    pairs += [(f"gradient {place}", *both) for place, both in enumerate(zip(ours["gradients"], theirs["gradients"]))]
    for what, own, other in pairs:
        if not abs(own - other) <= ALLOWED * abs(own):
            return f"{what} is {own:.7g} here and {other:.7g} there"
    if len(ours["gradients"]) != len(theirs["gradients"]):
        return "other gradients"
    return None


def in_turns(prepared, options, result):
    key = "ms_cpu" if options.threads == 1 and options.device == "cpu" else "ms_wall"
    columns = list(prepared)

    def turn(column, budget):
        process, form = prepared[column]
        return process.ask("run", form, budget)[key]

    clock = time.monotonic()
    first = {column: turn(column, 1) for column in columns}
    once = time.monotonic() - clock
    # What takes long is warm after its first step, which `prepare` was, and is counted.
    is_long = once > options.seconds / 2
    if is_long:
        for column, milliseconds in first.items():
            result["times"].setdefault(column, []).append(milliseconds)
    rounds, left = 0, options.seconds - (once if is_long else 0)
    clock = time.monotonic()
    while rounds < options.rounds and (time.monotonic() - clock + once) < left or not result["times"]:
        place = rounds % len(columns)
        result["load"].append(load())
        for column in columns[place:] + columns[:place]:
            result["times"].setdefault(column, []).append(turn(column, TURN))
        rounds += 1


def remember(case, prepared, options, result):
    """Memory of a step: ours, which only the CPU's allocator counts, and the eager peer's where it is asked for."""
    columns = ["ours"] if options.device == "cpu" else []
    for column in columns + ["eager"] * case.name.startswith("pcm-"):
        if column in prepared:
            process, form = prepared[column]
            try:
                result["memory"][column] = process.ask("memory", form)
            except Failed as failure:
                result["failed"][f"memory of {column}"] = str(failure)


def load():
    try:
        with open("/proc/loadavg") as file:
            return float(file.read().split()[0])
    except OSError:
        return float("nan")


def median(result, column):
    times = result["times"].get(column)
    return statistics.median(times) if times else None


def ratio(result, column):
    """Median of the rounds' ratios: what disturbs a round disturbs both sides of it."""
    ours, theirs = result["times"].get("ours"), result["times"].get(column)
    if not ours or not theirs:
        return None
    return statistics.median(other / own for own, other in zip(ours, theirs))

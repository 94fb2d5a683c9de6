"""The report: the Reach table, bytes and floors, every time that was taken."""

from .cases import CASES, MIB
from .measure import median, ratio

NOT_MEASURED = "not measured"
# Steps are counted for a batch of 8; HSC is measured on 12.
BATCH, HSC_BATCH = 8, 12


def report(results, facts, rates, options):
    lines = [f"* {name}: {value}" for name, value in facts]
    missing = failures(results)
    parts = ["\n".join(lines), reach(results, options), floors(results, rates), times(results)]
    return "\n\n".join(parts + ([missing] if missing else [])) + "\n"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def number(value, digits=3):
    """So many digits, and no more than two after the point."""
    if value is None:
        return ""
    if value >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:.{digits - 1 - len(str(int(value))) + 1}f}"


# --- Reach


def reach(results, options):
    on_gpu = options.device != "cpu"
    head = ["what, forward + backward", "ours, ms", "eager, ms", "torch.compile, ms", "eager / ours",
            "compile / ours", "wanted", "reached", "on a GPU"]
    rows = []
    for case in CASES:
        if case.name in results and not case.name.endswith("-heads"):
            rows.append(timed(case, results[case.name], on_gpu))
            if any(column.startswith("eager-normalising") for column in results[case.name]["times"]):
                rows.append(normalising(results[case.name]))
    rows += [*memory(results, on_gpu), *scaling(results), *shares(results, on_gpu)]
    # What a table of a GPU leaves out: its last column.
    shown = len(head) - on_gpu
    lines = [row(head[:shown]), "|:--|--:|--:|--:|--:|--:|--:|:--|" + ":--|" * (not on_gpu)]
    return "\n".join(lines + [row(cells[:shown]) for cells in rows])


def both(result, form, of, digits=3):
    """Default malloc and the retaining one."""
    cells = [number(of(result, column), digits) for column in (form, f"{form} retaining")]
    return " / ".join(cell for cell in cells if cell)


def least_ratio(result, form):
    found = [ratio(result, column) for column in (form, f"{form} retaining")]
    found = [value for value in found if value is not None]
    return min(found) if found else None


def timed(case, result, on_gpu):
    wanted = case.wanted_gpu if on_gpu else case.wanted
    ours = number(median(result, "ours"))
    only = next((form for form, factor in case.beside.items() if factor), None)
    if only:
        found, factor = ratio(result, only), case.beside[only]
        cells = [case.label, ours, f"{number(median(result, only))} ({only})", "", number(found), ""]
        return cells + [f"{factor}x", verdict([(found, factor)]), NOT_MEASURED]
    if case.recorded:
        return recorded(case, result, ours)
    cells = [case.label, ours, both(result, "eager", median), both(result, "compile", median),
             both(result, "eager", ratio), both(result, "compile", ratio)]
    asked = " / ".join(f"{factor}x" for factor in wanted.values())
    return cells + [asked, verdict([(least_ratio(result, form), factor) for form, factor in wanted.items()]), NOT_MEASURED]


def recorded(case, result, ours):
    """Beside pydensecrf: as it ran, or as it ran once."""
    factor, theirs = case.wanted["eager"], median(result, "eager")
    found = ratio(result, "eager")
    if theirs is None and median(result, "ours"):
        theirs, found = case.recorded, case.recorded / median(result, "ours")
        name = "pydensecrf, on another day"
    else:
        name = "pydensecrf"
    cells = [case.label, ours, f"{number(theirs)} ({name})", "", number(found), ""]
    return cells + [f"{factor}x", verdict([(found, factor)]), ""]


def normalising(result):
    form = "eager-normalising"
    return ["(that peer, making unit rows of its memory in every step)", "", both(result, form, median), "",
            both(result, form, ratio), "", "", "", ""]


def verdict(pairs):
    """Whether every ratio is what was wanted."""
    known = [(found, factor) for found, factor in pairs if found is not None]
    if not known:
        return NOT_MEASURED
    missed = [f"{factor / found:.2f} times too slow" for found, factor in known if found < factor]
    text = "; ".join(missed) if missed else "yes"
    return text if len(known) == len(pairs) else f"{text} (of what was measured)"


def above_gradients(result):
    memory = result["memory"].get("ours")
    if not memory or "gradient_bytes" not in memory:
        return None
    return (memory["peak_bytes"] - memory["gradient_bytes"]) / MIB


def memory(results, on_gpu):
    """Counted by the allocator, so on the CPU only."""
    if on_gpu:
        return
    for name, limit in [("ppc-16", 2), ("ppc-16-81", 2), ("ppc-56", 16), ("ppc-56-81", 16), ("hsc", None),
                        ("rca-20", None)]:
        held = above_gradients(results[name]) if name in results else None
        if held is not None:
            label = f"memory above SEAM alone, beyond the feature gradients: {name}"
            found = "" if limit is None else "yes" if held <= limit else f"{held / limit:.1f} times too much"
            wanted = "" if limit is None else f"at most {limit} MiB"
            yield [label, f"{held:.2f} MiB", "", "", "", "", wanted, found, NOT_MEASURED]
    for name in ("pcm-56", "pcm-112"):
        held = results.get(name, {}).get("memory", {})
        if "ours" in held and "eager" in held:
            ours, theirs = held["ours"]["peak_bytes"], held["eager"]["peak_bytes"]
            cells = [f"memory of {name}", f"{ours / MIB:.1f} MiB", f"{theirs / MIB:.0f} MiB", "", "", ""]
            share = ours / theirs
            yield cells + ["under 10 %", "yes" if share < 0.1 else f"{100 * share:.0f} %", NOT_MEASURED]


def scaling(results):
    for label, large, small, limit in [
        ("scaling: 12.25 times the pixels, 21 classes", "ppc-56", "ppc-16", 13),
        ("scaling: 12.25 times the pixels, 81 classes", "ppc-56-81", "ppc-16-81", 13),
        ("scaling: 21 to 81 classes, 16x16", "ppc-16-81", "ppc-16", 2),
        ("scaling: 21 to 81 classes, 56x56", "ppc-56-81", "ppc-56", 2),
    ]:
        if large in results and small in results:
            grown = {}
            for column in ("ours", "eager", "compile"):
                above, below = median(results[large], column), median(results[small], column)
                grown[column] = above / below if above and below else None
            if grown["ours"]:
                found = "yes" if grown["ours"] <= limit else f"{grown['ours'] / limit:.2f} times too much"
                times = [f"{number(value)}x" if value else "" for value in grown.values()]
                yield [label, *times, "", "", f"at most {limit}x", found, NOT_MEASURED]


def shares(results, on_gpu):
    """From the parts: of a step of 20 s on one core, a difference of 1 % drowns in its own spread."""
    parts = {name: median(result, "ours") for name, result in results.items()}
    needed = ["backbone-448", "backbone-128", "seam", "pcm-56"]
    if any(parts.get(name) is None for name in needed):
        return
    step = BATCH * (parts["backbone-448"] + parts["backbone-128"] + parts["pcm-56"]) + parts["seam"]
    limit = 0.5 if on_gpu else 1.0
    added = {
        "PPC's loss": (parts.get("ppc-16"), None),
        "PPC, loss and projection": (parts.get("ppc-16"), parts.get("ppc-heads")),
        "HSC's loss": (parts.get("hsc"), None),
        "HSC, loss and projections": (parts.get("hsc"), parts.get("hsc-heads")),
        "RCA's contrast": (parts.get("rca-20"), None),
    }
    for label, (loss, heads) in added.items():
        if loss is None or (heads is None and "projection" in label):
            continue
        own = (loss * BATCH / HSC_BATCH if label.startswith("HSC") else loss) + BATCH * (heads or 0)
        share = 100 * own / (step + own)
        found = "yes" if share <= limit else f"{share / limit:.1f} times too much"
        yield [f"share of a full-width SEAM step of batch {BATCH}, from its parts: {label}", f"{share:.3f} %", "", "",
               "", "", f"{limit} %", found, NOT_MEASURED]


# --- bytes and floors


def floors(results, rates):
    head = ["what", "least bytes, MB", "least work, GFLOP", "floor, ms", "ours, ms", "times the floor", "composed, ms",
            "asked of the allocator, MB", "held at most, MiB", "of it gradients, MiB"]
    lines = [row(head), "|:--" + "|--:" * (len(head) - 1) + "|"]
    for case in CASES:
        ours = median(results[case.name], "ours") if case.name in results else None
        if ours is None:
            continue
        floor = max(case.bytes / rates["copy_bytes_per_s"], case.flops / rates["gemm_flops_per_s"]) * 1e3
        held = results[case.name]["memory"].get("ours", {})
        cells = [case.name, number(case.bytes / 1e6) if case.bytes else "", number(case.flops / 1e9) if case.flops else "",
                 number(floor) if floor else "", number(ours), number(ours / floor) if floor else "",
                 number(median(results[case.name], "composed"))]
        cells += [number(held[name] / scale) if held.get(name) else "" for name, scale in
                  [("allocated_bytes", 1e6), ("peak_bytes", MIB), ("gradient_bytes", MIB)]]
        lines.append(row(cells))
    return "\n".join(lines)


# --- everything


def times(results):
    lines = [row(["ms, median (lowest to highest), rounds", "side"]), "|:--|:--|"]
    for name, result in results.items():
        for column, found in result["times"].items():
            spread = f"{number(median(result, column))} ({number(min(found))} to {number(max(found))}), {len(found)}"
            lines.append(row([spread, f"{name}, {column}"]))
    return "<details><summary>Every side of every case</summary>\n\n" + "\n".join(lines) + "\n\n</details>"


def failures(results):
    lines = []
    for name, result in results.items():
        lines += [f"* {name}, {column}: failed, {reason}" for column, reason in result["failed"].items()]
        lines += [f"* {name}, {column}: no ratio, it computes something else: {reason}"
                  for column, reason in result["differs"].items()]
    return "Left out:\n\n" + "\n".join(lines) if lines else ""

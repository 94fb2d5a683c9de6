"""The peers against the golden vectors, values and gradients, in float64: `python benches/peer/reach.py --check`.

A peer that is wrong is fast at something else; nothing is timed before this holds.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from . import backbone, common, hsc, pcm, ppc, rca, seam

FIXTURES = pathlib.Path(__file__).parents[3] / "tests" / "fixtures"
# Scalars are stored in float64, tensors in float32; a network adds up more.
SCALAR, TENSOR = 1e-9, 2e-7


class Case:
    """One file of vectors; in our order of classes, background last."""

    def __init__(self, name, background=None):
        self.name = name
        self.json = json.loads((FIXTURES / f"{name}.json").read_text())
        self.tensors = load_file(FIXTURES / f"{name}.safetensors")
        self.background = self.json["constants"].get("background_channel", 0) if background is None else background
        self.worst = 0.0

    def get(self, name, classes=None):
        """A tensor in float64; `classes` is the axis that has the classes."""
        tensor = self.tensors[name]
        tensor = tensor.double() if tensor.is_floating_point() else tensor.long()
        if classes is None or self.background != 0:
            return tensor
        return tensor.roll(-1, classes)

    def leaf(self, name, classes=None):
        return self.get(name, classes).clone().requires_grad_()

    def labels(self, name):
        """A map of classes, renamed."""
        labels = self.get(name)
        return labels if self.background != 0 else (labels - 1) % 21

    def fail(self, what, error, allowed):
        if not error <= allowed:
            raise SystemExit(f"{self.name}: {what} is off by {error:.1e}, more than {allowed:.0e}")
        self.worst = max(self.worst, error / allowed)

    def scalar(self, name, got):
        want = self.json["scalars"][name]
        self.fail(name, abs(got.item() - want) / abs(want), SCALAR)

    def tensor(self, name, got, classes=None, tolerance=TENSOR):
        want = self.get(name, classes)
        self.fail(name, ((got.detach() - want).abs().max() / want.abs().max()).item(), tolerance)

    def gradient(self, name, got):
        """Whatever is stored of a gradient: all of it, some channels, norms."""
        parts = {
            "": lambda g: g,
            "__channel_l2": lambda g: g.square().sum((2, 3)).sqrt(),
            "__pixel_l2": lambda g: g.square().sum(1).sqrt(),
        }
        stored = [key for key in self.tensors if key == name or key.startswith(f"{name}__")]
        assert stored, f"{self.name}: nothing stored of {name}"
        for key in stored:
            part = key[len(name):]
            if part.startswith("__ch") and "_" in part[4:]:
                first, end = part.removeprefix("__ch").split("_")
                if first.isdigit():
                    self.tensor(key, got[:, int(first):int(end)])
                    continue
            self.tensor(key, parts[part](got))


def halves(case, label_maps):
    """The random half of each class as stored, as ones at the pixels drawn: (2, M)."""
    masks = []
    for view, labels in enumerate(label_maps, 1):
        labels = labels.flatten()
        drawn, mask = case.get(f"hard_random_idx{view}"), torch.zeros(len(labels), dtype=torch.float64)
        for class_id in case.labels(f"class_ids{view}").tolist():
            members = (labels == class_id).nonzero().flatten()
            half = len(members) // 2
            mask[members[drawn[:half]]] = 1
            drawn = drawn[half:]
        assert not len(drawn)
        masks.append(mask)
    return torch.stack(masks)


def check_ppc():
    for name in ["ppc_contrast_main", "ppc_total_step", "ppc_eps_contrast"]:
        case = Case(name)
        cams = [case.get(key, 1) for key in ("cam_rv1_down", "cam_rv2_down")] if "cam_rv1_down" in case.tensors else [
            case.get(key, 1) for key in ("cam1", "cam2")]
        features = [case.leaf(f"f_proj{view}") for view in (1, 2)]
        label_maps = [case.labels(f"pseudo_label{view}") for view in (1, 2)]
        is_eps = name.startswith("ppc_eps")
        options = dict(background_score=0.1, divisor=16) if is_eps else {}
        parts = []

        def core(*given, **options):
            parts.extend(ppc.terms(*given, **options))
            return parts

        keys = ppc.keys_of(halves(case, label_maps))
        total = ppc.loss(*features, *cams, case.get("label"), keys, core=core, stable=True, **options)
        for key, part in zip(("loss_cross_nce", "loss_cross_nce2", "loss_intra_nce"), parts):
            case.scalar(key, part)
        case.scalar("loss_nce", total)
        prefix = "grad_loss__" if name == "ppc_total_step" else "grad_loss_nce__"
        for view, gradient in enumerate(torch.autograd.grad(total, features), 1):
            case.gradient(f"{prefix}f_proj{view}", gradient)
        yield case


def check_hsc():
    case = Case("hsc_train_step")
    maps = [case.leaf(key) for key in ("feat1_1", "feat2_1", "feat1_2", "feat2_2")]
    cams = [case.get(f"cam_rv{view}") for view in (1, 2)]
    pair = lambda first, second: torch.stack((case.get(first), case.get(second)))
    names = [("memobank_fb", "memobank1_fb"), ("memobank1", "memobank2"), ("memobank1_p", "memobank2_p")]
    labels = torch.stack([case.labels(f"pseudo_label_crf{view}") for view in (1, 2)])
    levels = []

    def core(*given):
        levels.extend(hsc.levels(*given, stable=True))
        return levels

    label = case.get("label")
    score, raw = hsc.seeds(*cams, label)
    for view in (1, 2):
        case.tensor(f"norm_cam{view}", score[view - 1])
        assert bool((raw[view - 1] == case.labels(f"pseudo_label{view}")).all())
    total, moved = hsc.loss(maps, cams, label, [pair(*each) for each in names], lambda _: labels, core=core)
    for key, level in zip(("loss_rsc", "loss_csc", "loss_psc"), levels):
        case.scalar(key, level)
    for both, after in zip(names, moved):
        for name, bank in zip(both, after):
            case.tensor(f"{name}_after", bank)
    gradients = torch.autograd.grad(total, maps)
    for key, gradient in zip(("feat1_1", "feat2_1", "feat1_2", "feat2_2"), gradients):
        case.gradient(f"grad_loss__{key}", gradient)
    yield case


def check_rca():
    case = Case("rca_contrast")
    mid = case.leaf("mid")
    pairs = torch.stack([case.get(key) for key in ("pair_image", "pair_class", "mix_image", "mix_class")], 1)
    known = rca.regions(case.get("label"), pairs)
    loss = rca.loss(mid, case.get("map_coarse"), case.get("queue"), known, pairs, case.get("lam"), False)
    case.scalar("loss_cl", loss)
    case.gradient("grad_loss_cl__mid", torch.autograd.grad(loss, mid)[0])
    yield case


def check_seam():
    # Not `seam_edge`: of a constant map's gradient each library has its own notion.
    case = Case("seam_train_step", background=0)
    maps = [case.leaf(key, 1) for key in ("cam1", "cam2", "cam_rv1", "cam_rv2")]
    terms = seam.losses(*maps, case.get("label"))
    scalars = case.json["scalars"]
    wanted = [scalars["loss_cls"] - (scalars["loss_rvmin1"] + scalars["loss_rvmin2"]) / 2,
              (scalars["loss_rvmin1"] + scalars["loss_rvmin2"]) / 2, scalars["loss_er"], scalars["loss_ecr"]]
    for key, got, want in zip(("cls", "min_pool", "er", "ecr"), terms, wanted):
        case.fail(key, abs(got.item() - want) / abs(want), SCALAR)
    for key, part in [("cls", terms[0] + terms[1]), ("er", terms[2]), ("ecr", terms[3])]:
        got = torch.autograd.grad(part, maps, retain_graph=True, allow_unused=True)
        for leaf, gradient in zip(("cam1", "cam2", "cam_rv1", "cam_rv2"), got):
            stored = f"grad_loss_{key}__{leaf}"
            if stored in case.tensors:
                case.tensor(stored, gradient, 1)
    yield case


def check_pcm():
    case = Case("seam_pcm", background=1)
    f, weight, cam = case.leaf("f"), case.leaf("f9_weight"), case.leaf("cam_d_norm")
    spread = pcm.refine(cam, F.conv2d(f, weight))
    case.tensor("cam_rv", spread)
    total = (spread * case.get("cotangent")).sum()
    case.scalar("S", total)
    for key, gradient in zip(("grad_f", "grad_f9", "grad_cam"), torch.autograd.grad(total, (f, weight, cam))):
        # The map that goes in is stored rounded.
        case.tensor(key, gradient, tolerance=1e-6)
    yield case


def generated(name, rules, leaf, shape):
    """A tensor of the generator that the vectors describe."""
    with np.errstate(over="ignore"):
        start = np.uint64(0xCBF29CE484222325)
        for byte in name.encode():
            start = (start ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        z = start + np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    u = ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**24
    rule = rules[leaf].split(",")[0]
    scope = {"s": 2 * u - 1, "u": u, "sqrt": np.sqrt, "fan_in": math.prod(shape[1:])}
    values = eval(rule.removesuffix(' with name "input"'), {"__builtins__": {}}, scope)  # noqa: S307, a rule of our file
    return torch.from_numpy(values.astype(np.float32)).double().view(shape)


def check_backbone():
    case = Case("net_seam", background=1)
    rules, weights = case.json["generator"], {}
    for entry in case.json["parameters"]:
        name, shape, kind = entry.split(" ")
        last = name.rsplit(".", 1)[-1]
        leaf = f"bn_{last}" if kind == "BatchNorm2d" else "conv_weight"
        weights[name] = generated(name, rules, leaf, [int(side) for side in shape.split("x")])
    network = backbone.ResNet38d().double()
    missing = network.load_state_dict(weights, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys), missing.missing_keys
    image = generated("input", rules, "input", [1, 3, 64, 64]).requires_grad_()
    taps = network(image)
    for name, tap in zip(("conv4", "conv5", "conv6"), taps):
        case.tensor(f"a_{name}_channel_mean", tap.mean((2, 3)), tolerance=1e-6)
    cam = F.conv2d(taps[-1], weights["fc8.weight"])
    total = common.resized(cam, (64, 64)).square().mean()
    case.scalar("a_S_cam", total)
    wanted = case.json["parameter_gradients"]["S_cam"]
    named = dict(network.named_parameters())
    wanted = [entry for entry in wanted if entry["name"] in named]
    assert len(wanted) == sum(parameter.requires_grad for parameter in named.values())
    gradients = torch.autograd.grad(total, [image, *(named[entry["name"]] for entry in wanted)])
    case.tensor("a_grad_S_cam__input", gradients[0], tolerance=1e-6)
    for entry, gradient in zip(wanted, gradients[1:]):
        case.fail(entry["name"], abs(gradient.norm().item() - entry["l2"]) / entry["l2"], SCALAR)
    yield case


def check():
    for checks in (check_ppc, check_hsc, check_rca, check_seam, check_pcm, check_backbone):
        for case in checks():
            print(f"{case.name}: right, largest error {case.worst:.2f} of what is allowed", flush=True)

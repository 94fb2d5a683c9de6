"""The cases: what stands beside what, and what is wanted of it.

Everything in one place that a number in the table depends on: which peers, which ratio, which floor.
"""

from dataclasses import dataclass, field


@dataclass
class Case:
    """One row. `wanted` and `wanted_gpu` are ratios (peer's time / ours), by the form of the peer."""

    name: str
    label: str
    wanted: dict = field(default_factory=dict)
    wanted_gpu: dict = field(default_factory=dict)
    # Forms without a ratio that is asked for.
    further: tuple = ()
    # Another form on our side, by name, and the ratio that is wanted if one is.
    beside: dict = field(default_factory=dict)
    # Counted by hand: bytes that must be read and written, float operations that must be done.
    bytes: float = 0.0
    flops: float = 0.0
    # The peer's milliseconds of another day, for where it cannot be run.
    recorded: float = 0.0
    is_on_gpu: bool = True


MIB = 2**20


def ppc_floor(classes, grid, sides, batch=8, channels=128):
    """Maps read once, of a map that is resized only the rows it is sampled from; dense gradients written. Two products
    of every pixel with the prototypes of both views: similarities, and the gradient of the pixels."""
    bytes_moved = 0
    for side in sides:
        touched = min(1.0, 2 * grid / side) if side != grid else 1.0
        bytes_moved += 4 * batch * side**2 * (channels * (1 + touched) + classes * touched)
    pixels = 2 * batch * grid**2
    return {"bytes": bytes_moved, "flops": 2 * 2 * pixels * 2 * classes * channels}


def hsc_floor(classes=21, grid=16, sides=(56, 16), batch=12, pixel=128, region=256, iterations=10):
    """As PPC's, for both maps; three sets of prototypes; the CRF's messages."""
    floor = ppc_floor(classes, grid, sides, batch, pixel + region)
    pixels = 2 * batch * grid**2
    floor["flops"] = 2 * 2 * pixels * 3 * classes * pixel + 2 * iterations * pixels * grid**2 * classes
    return floor


def rca_floor(classes, pairs, length=500, channels=512, batch=8, side=46):
    """The map read, its gradient written, coarse maps and memory read; each pair against every row, and back; pooling."""
    area = batch * side**2
    return {
        "bytes": 4 * (2 * area * channels + area * classes + classes * length * channels),
        "flops": 2 * 2 * pairs * classes * length * channels + 2 * 2 * pairs * side**2 * channels * 2,
    }


def seam_floor(classes=21, batch=8, sides=(56, 16)):
    """Four small maps read and their gradients written; the samples of the large image are never stored."""
    return {"bytes": 4 * 2 * 2 * batch * classes * sum(side**2 for side in sides), "flops": 0}


def pcm_floor(side, classes=21, channels=192):
    """Affinity made forward and again backward, its gradient taken to the features; maps spread, and back."""
    pixels = side**2
    return {
        "bytes": 4 * pixels * 2 * (channels + classes),
        "flops": 3 * 2 * pixels**2 * channels + 2 * 2 * pixels**2 * (classes + 1),
    }


# Input and output channels, side of the kernel, stride, how often, and what the image's side is divided by before it.
STEM = [(3, 64, 3, 1, 1, 1), (64, 128, 3, 2, 1, 1), (128, 128, 3, 1, 5, 2), (64, 128, 1, 2, 1, 1)]
TRAINED = [
    (128, 256, 3, 2, 1, 2), (128, 256, 1, 2, 1, 2), (256, 256, 3, 1, 5, 4),
    (256, 512, 3, 2, 1, 4), (256, 512, 1, 2, 1, 4), (512, 512, 3, 1, 11, 8),
    (512, 512, 3, 1, 1, 8), (512, 1024, 3, 1, 3, 8), (512, 1024, 1, 1, 1, 8), (1024, 512, 3, 1, 2, 8),
    (1024, 512, 1, 1, 1, 8), (512, 1024, 3, 1, 1, 8), (1024, 2048, 1, 1, 2, 8),
    (2048, 1024, 1, 1, 1, 8), (1024, 2048, 3, 1, 1, 8), (2048, 4096, 1, 1, 2, 8),
]


def backbone_floor(side):
    """Every convolution once; of the trained ones two gradients, but none of what the stem gives. Weights and outputs
    moved once in each of these."""
    flops = bytes_moved = 0
    for layers, passes in ((STEM, 1), (TRAINED, 3)):
        for given, made, kernel, stride, count, divisor in layers:
            area = (side // divisor // stride) ** 2
            flops += passes * count * 2 * area * given * made * kernel**2
            bytes_moved += passes * count * 4 * (given * made * kernel**2 + area * made)
    first = 2 * (side // 4) ** 2 * 128 * 256 * (9 + 1)
    return {"bytes": bytes_moved, "flops": flops - first}


def convs_floor(side):
    """One of each trained shape, with both gradients."""
    flops = sum(3 * 2 * (side // divisor // stride) ** 2 * given * made * kernel**2
                for given, made, kernel, stride, _, divisor in TRAINED)
    return {"bytes": 0, "flops": flops}


LOSS, LOSS_GPU = {"eager": 2.5, "compile": 2.0}, {"eager": 10.0, "compile": 2.5}
REGION, REGION_GPU = {"eager": 1.5, "compile": 1.3}, {"eager": 5.0, "compile": 2.0}
# pydensecrf on a photograph, one core: 0.47 to 0.53 s, and 2.1 s.
CRF, CRF_81 = 470.0, 2100.0

CASES = [
    Case("ppc-16", "PPC total, batch 8, 16x16, 21 classes, 128-d", LOSS, LOSS_GPU, **ppc_floor(21, 16, (56, 16))),
    Case("ppc-56", "the same at 56x56", LOSS, LOSS_GPU, **ppc_floor(21, 56, (56, 56))),
    Case("ppc-16-81", "the same at 16x16, 81 classes", LOSS, LOSS_GPU, **ppc_floor(81, 16, (56, 16))),
    Case("ppc-56-81", "the same at 56x56, 81 classes", LOSS, LOSS_GPU, **ppc_floor(81, 56, (56, 56))),
    Case("hsc", "HSC with exact CRF, batch 12", LOSS, LOSS_GPU, **hsc_floor()),
    Case("rca-20", "RCA contrast, 20x500x512, 12 pairs", REGION, REGION_GPU, ("eager-normalising",),
         **rca_floor(20, 12)),
    Case("rca-80", "RCA contrast, 80x500x512, 24 pairs", REGION, REGION_GPU, ("eager-normalising",),
         **rca_floor(80, 24)),
    Case("seam", "SEAM's own losses, 448 crop, batch 8", {"eager": 5.0}, {"eager": 10.0},
         beside={"composed": None}, **seam_floor()),
    Case("pcm-56", "PCM at 56x56, one image", {"eager": 1.0}, {"eager": 2.0}, **pcm_floor(56)),
    Case("pcm-112", "PCM at 112x112, one image", {"eager": 1.0}, {"eager": 2.0}, **pcm_floor(112)),
    Case("backbone-128", "ResNet38d, one image of 128", {"eager": 0.8}, {"eager": 0.9}, **backbone_floor(128)),
    Case("backbone-224", "ResNet38d, one image of 224", {"eager": 0.8}, {"eager": 0.9}, **backbone_floor(224)),
    Case("backbone-448", "ResNet38d, one image of 448", {"eager": 0.8}, {"eager": 0.9}, **backbone_floor(448)),
    Case("convs-128", "its trained convolutions, one of each shape, at 128, beside stock candle",
         beside={"candle": 3.0}, **convs_floor(128)),
    Case("convs-448", "the same at 448", beside={"candle": 3.0}, **convs_floor(448)),
    Case("crf-21", "dense CRF, lattice, 375x500, 4 of 21 labels", {"eager": 2.0}, recorded=CRF, is_on_gpu=False),
    Case("crf-81", "dense CRF, lattice, 375x500, 4 of 81 labels", {"eager": 8.0}, recorded=CRF_81, is_on_gpu=False),
    Case("ppc-heads", "projection of PPC, one image (part of the step)"),
    Case("hsc-heads", "projections of HSC, one image (part of the step)"),
]

NAMES = [case.name for case in CASES]

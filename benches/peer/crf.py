"""pydensecrf on the images and labels of `cargo bench --bench crf`: processor time of one image, one JSON object a line.

How to install it says `tests/fixtures/make_crf.py`; Pillow and numpy are needed as well. Run both beside each other:

    v/bin/python benches/peer/crf.py photo.jpg
    cargo bench -p candle-wsss-baselines --bench crf -- photo.jpg

Without a photograph both make the same picture up, which has fewer edges than one.
"""

import json
import sys
import time

import numpy as np
import pydensecrf.densecrf as dcrf
from pydensecrf.utils import unary_from_labels, unary_from_softmax

WIDTH, HEIGHT, ITERATIONS, PRESENT, ROUNDS = 500, 375, 10, 4, 3


def hashed(x, y, label):
    return (((x // 25) * 73856093) ^ ((y // 25) * 19349663) ^ (label * 83492791)) >> 3 & 255


def picture(path, width, height):
    if path:
        from PIL import Image

        return np.asarray(Image.open(path).convert("RGB").resize((width, height), Image.BICUBIC)).copy()
    y, x = np.mgrid[:height, :width]
    channels = [(hashed(x, y, c + 1) // 2 + x // 5 + y // 7 + (x * 7 + y * 13 + c) % 9) for c in range(3)]
    return np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)


def run(image, unary, labels, soft):
    height, width = image.shape[:2]
    crf = dcrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=80 if soft else 50, srgb=13 if soft else 5, rgbim=image, compat=10)
    return np.argmax(np.array(crf.inference(ITERATIONS)), 0)


def measured(work):
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) * 1e3)
    return min(times)


def main():
    given = [argument for argument in sys.argv[1:] if argument != "--json"]  # what it prints anyway
    path = given[0] if given else None
    image = picture(path, WIDTH, HEIGHT)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    hard = hashed(x, y, 0) % PRESENT
    for count in [4, 21, 81]:
        work = lambda: run(image, unary_from_labels(hard, count, gt_prob=0.7, zero_unsure=False), count, False)
        report(f"hard, {PRESENT} of {count} labels", measured(work))
    for count, own in [(4, 4), (21, 4), (21, 21), (81, 81)]:
        maps = np.stack([(hashed(x, y, c) + 1) / 257 if c < own else np.zeros((HEIGHT, WIDTH)) for c in range(count)])
        maps = maps.astype(np.float32)
        work = lambda: run(image, unary_from_softmax(maps.reshape(count, -1)), count, True)
        report(f"soft, {own} of {count} labels", measured(work))
    small = [picture(path, 16, 16 + index)[:16].copy() for index in range(24)]
    y, x = np.mgrid[:16, :16]
    labels = hashed(x * 5, y * 5, 0) % PRESENT
    unary = lambda: unary_from_labels(labels, 21, gt_prob=0.7, zero_unsure=False)
    report("24 maps of 16x16, hard, 4 of 21 labels", measured(lambda: [run(one, unary(), 21, False) for one in small]))


def report(what, milliseconds):
    print(json.dumps({"what": what, "ms_cpu": round(milliseconds, 2)}), flush=True)


if __name__ == "__main__":
    main()

"""Evaluation of seeds the way the published code does it: one pass over all files per background score.

Prints one JSON line per measurement, CPU milliseconds per image, reading included; the lines of the same name that
`cargo bench --bench eval` prints are of the same work. With 12 images the results are the same as well, to three digits.
Needs numpy and Pillow:

    python benches/peer/eval.py [images]
"""

import json
import os
import sys
import tempfile
import time

import numpy as np
from PIL import Image

HEIGHT, WIDTH, CLASSES = 375, 500, 21
THRESHOLDS = [step / 100 for step in range(60)]
VOID = 255


def scene(index):
    """Scores of one to three classes and their ground truth: soft blobs, rims void."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    cams = {}
    count = 1 + index % 3
    labels = sorted((7 * index + 5 * blob) % (CLASSES - 1) for blob in range(count))
    for blob, label in enumerate(labels):
        x = WIDTH * (0.3 + 0.4 * blob / count)
        y = HEIGHT * (0.35 + 0.1 * ((index + blob) % 4))
        distance = np.hypot((columns - x) / 90, (rows - y) / 70)
        cams[label] = np.clip(1.3 - distance, 0, 1).astype(np.float32)
        truth[distance < 0.9] = label + 1
        truth[(distance >= 0.9) & (distance < 0.95)] = VOID
    return cams, truth


def score(folder, names, threshold):
    """Counts of every class over all images at one background score."""
    found, there, predicted = ([0] * CLASSES for _ in range(3))
    for name in names:
        cams = np.load(os.path.join(folder, name + ".npy"), allow_pickle=True).item()
        height, width = next(iter(cams.values())).shape
        stack = np.zeros((CLASSES, height, width), np.float32)
        for label, cam in cams.items():
            stack[label + 1] = cam
        stack[0] = threshold
        predict = np.argmax(stack, axis=0).astype(np.uint8)
        count(found, there, predicted, np.array(Image.open(os.path.join(folder, name + ".png"))), predict)
    return mean_iou(found, there, predicted)


def score_masks(folder, names):
    """The same of label maps."""
    found, there, predicted = ([0] * CLASSES for _ in range(3))
    for name in names:
        predict = np.array(Image.open(os.path.join(folder, name + "_predicted.png")))
        count(found, there, predicted, np.array(Image.open(os.path.join(folder, name + ".png"))), predict)
    return mean_iou(found, there, predicted)


def count(found, there, predicted, truth, predict):
    valid = truth < VOID
    right = (predict == truth) * valid
    for label in range(CLASSES):
        predicted[label] += np.sum((predict == label) * valid)
        there[label] += np.sum((truth == label) * valid)
        found[label] += np.sum((truth == label) * right)


def mean_iou(found, there, predicted):
    return float(np.mean([tp / (t + p - tp + 1e-10) for tp, t, p in zip(found, there, predicted)]))


def measured(what, images, work):
    start = time.process_time()
    result = work()
    spent = 1e3 * (time.process_time() - start) / images
    print(json.dumps({"what": what, "ms_cpu": round(spent, 3), "images": images, "result": result}), flush=True)


def main():
    given = [argument for argument in sys.argv[1:] if argument != "--json"]  # what it prints anyway
    images = int(given[0]) if given else 6
    names = [f"image_{index:03}" for index in range(images)]
    with tempfile.TemporaryDirectory() as folder:
        for index, name in enumerate(names):
            cams, truth = scene(index)
            np.save(os.path.join(folder, name + ".npy"), cams)
            Image.fromarray(truth).save(os.path.join(folder, name + ".png"))
            predict = np.zeros_like(truth)
            best = np.full(truth.shape, 0.3, np.float32)
            for label, cam in cams.items():
                predict[cam > best] = label + 1
                best = np.maximum(best, cam)
            Image.fromarray(predict).save(os.path.join(folder, name + "_predicted.png"))
        measured("curve of 60 background scores", images, lambda: max(score(folder, names, t) for t in THRESHOLDS))
        measured("label maps", images, lambda: score_masks(folder, names))


if __name__ == "__main__":
    main()

"""From a JPEG file to a training crop with Pillow and torchvision, on one thread: the peer of `baselines/benches/data.rs`.

    python benches/peer/data.py --images FOLDER [--json]

The pipeline of the released code: longer side to 448 to 768 (bicubic), mirror, colour jitter, normalisation, crop of 448,
as float32 with channels first. Longer sides are the same in the bench, the other draws of the same distribution.
"""

import argparse
import json
import pathlib
import random
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

IMAGES, LOW, HIGH, CROP = 48, 448, 768, 448
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def decoded(path):
    return Image.open(path).convert("RGB")


def normalized(image):
    values = np.asarray(image)
    out = np.empty(values.shape, np.float32)
    for channel in range(3):
        out[..., channel] = (values[..., channel] / 255.0 - MEAN[channel]) / STD[channel]
    return out


def cropped(values):
    height, width = values.shape[:2]
    square = np.zeros((CROP, CROP, 3), np.float32)

    def place(side):
        return (random.randrange(side - CROP + 1), 0) if side > CROP else (0, random.randrange(CROP - side + 1))

    (left, to_left), (top, to_top) = place(width), place(height)
    rows, columns = min(CROP, height), min(CROP, width)
    square[to_top:to_top + rows, to_left:to_left + columns] = values[top:top + rows, left:left + columns]
    # As a worker hands it over: a tensor of its own.
    return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))


def augmented(image, index, jitter):
    side = LOW + index * 37 % (HIGH - LOW + 1)
    width, height = image.size
    if width < height:
        size = (round(width * side / height), side)
    else:
        size = (side, round(height * side / width))
    image = image.resize(size, Image.BICUBIC)
    if random.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    if jitter is not None:
        image = jitter(image)
    return cropped(normalized(image))


def timed(work, items):
    start = time.thread_time()
    for item in items:
        work(item)
    return 1e3 * (time.thread_time() - start) / len(items)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    torch.manual_seed(0)
    paths = sorted(arguments.images.glob("*.jpg"))[:IMAGES]
    images = list(enumerate(decoded(path) for path in paths))
    jitter = transforms.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1)
    decode = timed(decoded, paths)
    without = timed(lambda item: augmented(item[1], item[0], None), images)
    both = timed(lambda item: augmented(item[1], item[0], jitter), images)
    stages = {"decode": decode, "augment without colours": without, "colours": both - without, "all": decode + both}
    if not arguments.json:
        print(f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}, numpy {np.__version__}")
    for what, milliseconds in stages.items():
        if arguments.json:
            print(json.dumps({"what": what, "ms_cpu": milliseconds}))
        else:
            print(f"{what:<28} {milliseconds:8.2f} ms of CPU an image")


if __name__ == "__main__":
    main()

"""Masks of COCO: this project beside the COCO API, on the same generated annotations, compared byte by byte.

    pip install pycocotools numpy
    python benches/peer/coco_masks.py                    # 5000 images; --full: as many as COCO's training images

Writes annotations of COCO's make (sizes, corners, shares of crowds) to a temporary folder, runs `cargo bench --bench
coco` on it and the usual loop over the API here, and prints processor time of both, for opening and per mask, and the
most memory each had.
"""

import argparse
import contextlib
import io
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np

SIDES = [(640, 480), (480, 640), (640, 427), (500, 375)]


def annotations(rng, images, per_image):
    number = 0
    for image in range(images):
        width, height = SIDES[image % len(SIDES)]
        for _ in range(rng.poisson(per_image)):
            number += 1
            crowd = int(rng.random() < 0.01)
            radius = float(np.exp(rng.normal(3.3, 1.0)))
            middle = rng.random(2) * [width, height]
            if crowd:
                counts = rng.integers(1, 400, 400)
                counts = [*counts.tolist(), int(width * height - counts.sum())]
                pixels = {"counts": counts, "size": [height, width]}
            else:
                pixels = []
                for _ in range(1 + rng.poisson(0.15)):
                    corners = max(3, int(rng.normal(24, 10)))
                    angle = np.sort(rng.random(corners)) * 2 * np.pi
                    out = middle + np.stack([np.cos(angle), np.sin(angle)], 1) * (radius * rng.uniform(0.6, 1, (corners, 1)))
                    out = np.clip(out, 0, [width, height]).round(2)
                    pixels.append(out.reshape(-1).tolist())
            yield {
                "segmentation": pixels,
                "area": round(radius * radius * 3, 5),
                "iscrowd": crowd,
                "image_id": image,
                "bbox": [round(float(v), 2) for v in (*middle, radius, radius)],
                "category_id": int(rng.integers(1, 81)),
                "id": number,
            }


def write(folder, images, per_image):
    rng = np.random.default_rng(0)
    (folder / "annotations").mkdir()
    (folder / "images").mkdir()
    entries = []
    for image in range(images):
        width, height = SIDES[image % len(SIDES)]
        name = f"COCO_train2014_{image:012}.jpg"
        (folder / "images" / name).touch()
        url = f"http://images.cocodataset.org/train2014/{name}"
        entries.append({"license": 5, "file_name": name, "coco_url": url, "height": height, "width": width, "id": image})
    categories = [{"supercategory": "thing", "id": k, "name": f"class{k}"} for k in range(1, 81)]
    path = folder / "annotations" / "instances_train2014.json"
    with path.open("w") as file:
        file.write(f'{{"info": {{}}, "images": {json.dumps(entries)}, "licenses": [], "annotations": [')
        for index, annotation in enumerate(annotations(rng, images, per_image)):
            file.write((", " if index else "") + json.dumps(annotation))
        file.write(f'], "categories": {json.dumps(categories)}}}')
    return path, index + 1


def peer(path, draw):
    from pycocotools.coco import COCO

    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    opened = time.process_time() - start
    checksum = 0
    spent = 0.0
    for image in coco.dataset["images"][:draw]:
        start = time.process_time()
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            mask[coco.annToMask(annotation) == 1] = annotation["category_id"]
        spent += time.process_time() - start
        checksum = zlib.crc32(mask.tobytes(), checksum)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"open_seconds": opened, "mask_milliseconds": 1000 * spent / draw, "memory_mib": memory, "crc32": checksum}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--full", action="store_true", help="82783 images, as COCO 2014")
    parser.add_argument("--draw", type=int, default=1000, help="masks to draw")
    options = parser.parse_args()
    images = 82783 if options.full else options.images
    draw = min(options.draw, images)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path, count = write(folder, images, 7.3)
        print(f"{images} images, {count} annotations, {path.stat().st_size / 1e6:.0f} MB; {draw} masks drawn")
        command = ["cargo", "bench", "-q", "--bench", "coco", "-p", "candle-wsss-baselines", "--", name, str(draw)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parents[2])
        ours = json.loads(re.search(r"^\{.*\}$", found.stdout, re.M)[0])
        theirs = peer(path, draw)
    print("| processor time | ours | COCO API | ratio |\n| :-- | --: | --: | --: |")
    for key, what in (("open_seconds", "open, s"), ("mask_milliseconds", "a mask, ms"), ("memory_mib", "memory, MiB")):
        print(f"| {what} | {ours[key]:.3f} | {theirs[key]:.3f} | {theirs[key] / ours[key]:.1f} |")
    print(f"for labels alone: open {ours['labels_seconds']:.3f} s")
    if ours["crc32"] != theirs["crc32"]:
        sys.exit("the masks differ")
    print("the masks are the same, byte by byte")


main()

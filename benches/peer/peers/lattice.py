"""pydensecrf on an image of VOC's size. Without PyTorch: it may need an interpreter of its own."""

import numpy as np
from pydensecrf.utils import unary_from_labels
from safetensors.numpy import load_file

from crf import run


class Lattice:
    """A case of the server; see `timed.py`."""

    def __init__(self, path):
        tensors = load_file(path)
        image, given, labels = tensors["image"], tensors["given"].astype(np.int64), int(tensors["labels"][0])
        image = np.ascontiguousarray(image)

        def step():
            return run(image, unary_from_labels(given, labels, gt_prob=0.7, zero_unsure=False), labels, False)

        self.step = step
        self.agreement = float((step().reshape(given.shape) == tensors["refined"]).mean())

    def summary(self):
        return {"agreement": self.agreement}

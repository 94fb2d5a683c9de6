"""The pixel correlation module behind its projections."""

import torch
import torch.nn.functional as F

from .common import EPSILON, resized


def refine(cam, features):
    """cam (N, classes, *, *) spread over the pixels of features (N, d, h, w) that are alike."""
    n, _, h, w = features.shape
    cam = resized(cam, (h, w)).flatten(2)
    unit = features.flatten(2)
    unit = unit / (unit.norm(dim=1, keepdim=True) + EPSILON)
    affinity = F.relu(torch.matmul(unit.transpose(1, 2), unit))
    affinity = affinity / (affinity.sum(1, keepdim=True) + EPSILON)
    return torch.matmul(cam, affinity).view(n, -1, h, w)

"""SEAM's own losses, on maps enlarged to the size of the images."""

import torch
import torch.nn.functional as F

from .common import EPSILON, resized, with_background

SMALLEST, LARGEST = 4, 0.2


def max_norm(maps):
    maps = F.relu(maps)
    flat = maps.flatten(2)
    most, least = flat.amax(-1)[..., None, None], flat.amin(-1)[..., None, None]
    return F.relu(maps - least - EPSILON) / (most - least + EPSILON)


def min_pool(refined, label):
    strongest = (refined[:, :-1] * label[:, :, None, None]).amax(1).flatten(1)
    lowest = torch.topk(strongest, strongest.shape[1] // SMALLEST, dim=-1, largest=False, sorted=False).values
    return F.relu(lowest).mean()


def target(maps):
    """Background as what the foreground leaves, then the strongest foreground class alone. No gradient."""
    foreground = maps.detach()[:, :-1]
    strongest = foreground.amax(1, keepdim=True)
    return torch.cat((torch.where(foreground == strongest, foreground, 0.0), 1 - strongest), 1)


def cross(wanted, refined):
    difference = (wanted - refined).abs().flatten(1)
    return torch.topk(difference, int(difference.shape[1] * LARGEST), dim=-1, sorted=False).values.mean()


def losses(cam1, cam2, refined1, refined2, label):
    """(cls, min_pool, er, ecr) of maps (N, classes, H, W), of the size of their image each; label (N, foreground)."""
    logits = [cam[:, :-1].mean((2, 3)) for cam in (cam1, cam2)]
    cls = sum(F.multilabel_soft_margin_loss(each, label) for each in logits) / 2
    pooled = (min_pool(refined1, label) + min_pool(refined2, label)) / 2
    size, present = cam2.shape[-2:], with_background(label)
    a, p = (resized(max_norm(maps), size) * present for maps in (cam1, refined1))
    b, q = (max_norm(maps) * present for maps in (cam2, refined2))
    er = (a[:, :-1] - b[:, :-1]).abs().mean()
    return cls, pooled, er, cross(target(b), p) + cross(target(a), q)


def loss(cam1, cam2, refined1, refined2, label, sides):
    """The total, from the network's maps."""
    enlarged = [resized(maps, (side, side)) for maps, side in zip((cam1, cam2, refined1, refined2), sides * 2)]
    return sum(losses(*enlarged, label))

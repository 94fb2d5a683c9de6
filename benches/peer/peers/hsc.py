"""Hierarchical semantic contrast: regions, classes and pixels of two views, with their momentum prototypes."""

import torch
import torch.nn.functional as F

from .common import EPSILON, best, gathered, prototypes, resized, rows, scores, unit, with_background

BACKGROUND_SCORE, TEMPERATURE, WEIGHT, MOMENTUM, DIVISOR = 0.1, 0.1, 0.1, 0.5, 16
LOW, HIGH, TOP, TOP_HIGH = 0.0005, 0.9995, 128, 16


def region_level(features, labels, banks, classes):
    """features (2, N, C, h, w), labels (2, N, h, w), banks (2, 2, C): background, foreground."""
    views, n, channels = features.shape[:3]
    background = (labels == classes - 1).to(features.dtype)
    masks = torch.stack((background, 1 - background), 2).flatten(3)  # (2, N, 2, pixels)
    # Along the width, as released.
    along_width = unit(features).flatten(3)
    sums = torch.matmul(masks, along_width.transpose(2, 3))  # (2, N, 2, C)
    vectors = F.normalize(sums / (masks.sum(-1, keepdim=True) + EPSILON), dim=-1, eps=EPSILON)
    directions = unit(vectors)
    cosines = directions[:, :, 0].flatten(0, 1) @ directions[:, :, 1].flatten(0, 1).t()
    apart = -torch.log(1 - cosines.clamp(LOW, HIGH))
    apart = apart.view(views, n, views, n).mean((1, 3))  # (view of the background, view of the foreground)
    intra, cross = (apart[0, 0] + apart[1, 1]) / 2, (apart[0, 1] + apart[1, 0]) / 2
    to_bank = (banks.unsqueeze(1) - vectors).abs().mean((1, 3)).mean(0)  # background, foreground
    moved = (1 - MOMENTUM) * vectors.detach().mean(1) + MOMENTUM * banks
    return WEIGHT * (intra + cross + to_bank.sum()), moved


def class_level(features, score, label, banks, stable=False):
    """features (2, N, C, h, w), score (2, N, classes, h, w), banks (2, classes, C).

    A class sees the rows of those before it already moved: both kinds of logits are there, and a triangle chooses.
    """
    pixels = rows(features)
    foreground = score.shape[2] - 1
    weights = F.softmax(score * with_background(label), dim=2)[:, :, :-1].transpose(1, 2).flatten(2)
    weights, index = best(weights, TOP, stable)
    chosen = gathered(pixels, index)  # (2, foreground, TOP, C)
    total = weights.sum(-1, keepdim=True)
    anchors = F.normalize(torch.matmul(weights.unsqueeze(2), chosen).squeeze(2) / total, dim=-1)
    present = (label > 0).any(0)
    with torch.no_grad():
        few = torch.matmul(weights[..., None, :TOP_HIGH], chosen[:, :, :TOP_HIGH]).squeeze(2) / total
        fresh = (1 - MOMENTUM) * F.normalize(few, dim=-1) + MOMENTUM * banks[:, :-1]
        moved = torch.cat((torch.where(present[None, :, None], fresh, banks[:, :-1]), banks[:, -1:]), 1)
        both = F.normalize(torch.stack((banks, moved)), dim=-1)  # (old or new, view, classes, C)
        classes = torch.arange(foreground + 1, device=label.device)
        comes_before = classes[None] < classes[:-1, None]
    logits = torch.einsum("vic,sbjc->vbsij", anchors, both) / TEMPERATURE
    logits = torch.where(comes_before, logits[:, :, 1], logits[:, :, 0])  # (view, bank, class, classes)
    losses = torch.logsumexp(logits, -1) - logits.diagonal(dim1=-2, dim2=-1)
    loss = torch.where(present, losses, 0.0).sum() / present.sum() / 4
    return WEIGHT * loss, moved


def pixel_level(features, score, labels, banks, stable=False):
    """features (2, N, C, h, w), score (2, N, classes, h, w), labels (2, N, h, w), banks (2, classes, C)."""
    h, w = features.shape[-2:]
    pixels = rows(features)
    classes = score.shape[2]
    count = pixels.shape[1]
    centres = prototypes(score, pixels.detach(), h * w // DIVISOR, stable)
    # Of each view against the prototypes of both and its own bank.
    against = torch.cat((centres.view(1, 2 * classes, -1).expand(2, -1, -1), banks), 1)
    logits = unit(pixels) @ (against / TEMPERATURE).transpose(1, 2)
    logits = logits.view(2, count, 3, classes)
    norms = torch.logsumexp(logits, -1)
    own, other = labels.flatten(1), labels.flatten(1).flip(0)

    def loss(view, prototypes_of, targets):
        picked = logits[view, :, prototypes_of].gather(1, targets[view].unsqueeze(1)).squeeze(1)
        return (norms[view, :, prototypes_of] - picked).mean()

    cross_prototype = loss(0, 1, own) + loss(1, 0, own)
    cross_label = loss(0, 0, other) + loss(1, 1, other)
    intra = loss(0, 0, own) + loss(1, 1, own)
    memory = loss(0, 2, own) + loss(1, 2, own)
    moved = (1 - MOMENTUM) * centres + MOMENTUM * banks
    return WEIGHT * (cross_prototype + cross_label + intra + memory) / 2, moved


def levels(pixel1, pixel2, region1, region2, score, labels, label, roi_banks, class_banks, pixel_banks, stable=False):
    """Losses of the three levels and their banks after the step, from maps at one size."""
    regions, pixels = torch.stack((region1, region2)), torch.stack((pixel1, pixel2))
    roi, roi_banks = region_level(regions, labels, roi_banks, score.shape[2])
    cls, class_banks = class_level(regions, score, label, class_banks, stable)
    pix, pixel_banks = pixel_level(pixels, score, labels, pixel_banks, stable)
    return roi, cls, pix, roi_banks, class_banks, pixel_banks


@torch.no_grad()
def seeds(cam1, cam2, label, grid=(16, 16)):
    """Scores (2, N, classes, h, w) and labels (2, N, h, w), before the CRF."""
    score = scores(torch.stack((resized(cam1, grid), resized(cam2, grid))), BACKGROUND_SCORE)
    return score, (score * with_background(label)).argmax(2)


def loss(maps, cams, label, banks, refine, grid=(16, 16), core=levels):
    """The total and the banks after the step. `maps`: pixel1, pixel2, region1, region2, of any size; `refine` makes the
    labels of both views better."""
    score, labels = seeds(*cams, label, grid)
    results = core(*[resized(each, grid) for each in maps], score, refine(labels), label, *banks)
    return sum(results[:3]), results[3:]

"""Pixel-to-prototype contrast: all terms of both views."""

import torch
import torch.nn.functional as F

from .common import prototypes, resized, rows, scores, unit, with_background

BACKGROUND_SCORE, TEMPERATURE, WEIGHT, DIVISOR, HARD_FRACTION = 0.2, 0.1, 0.1, 8, 0.6


@torch.no_grad()
def rank_within_class(labels, key, counts):
    """Place of each pixel among those of its class, by a key in (-2, 2)."""
    order = (labels.double() * 4 + key.double()).argsort(1)
    first = counts.cumsum(1) - counts
    places = torch.arange(labels.shape[1], device=labels.device) - first.gather(1, labels.gather(1, order))
    return torch.empty_like(labels).scatter_(1, order, places)


@torch.no_grad()
def pixel_weights(labels, similarity, classes, keys):
    """What each pixel counts within its view: half of each class at random, those of the lowest keys, half of it hard;
    classes the same."""
    counts = torch.zeros(labels.shape[0], classes, dtype=torch.long, device=labels.device)
    counts.scatter_add_(1, labels, torch.ones_like(labels))
    of_pixel = counts.gather(1, labels)
    half, hardest = of_pixel // 2, (of_pixel.double() * HARD_FRACTION).long()
    rank = rank_within_class(labels, similarity, counts)
    hard = ((rank >= hardest - half) & (rank < hardest)).to(similarity.dtype)
    drawn = rank_within_class(labels, keys, counts) < half
    present = (counts > 0).sum(1, keepdim=True)
    weights = (hard + drawn.to(hard.dtype)) / (2 * half).clamp(min=1) / present
    return torch.where(of_pixel >= 2, weights, 0.0)


def terms(f1, f2, cam1, cam2, label, keys, ranks=(3, 13), background_score=BACKGROUND_SCORE, divisor=DIVISOR,
          stable=False):
    """(cross_prototype, cross_label, intra), weighted, from maps at one size: features (N, C, h, w), maps
    (N, classes, h, w), label (N, foreground); keys (2, pixels of the batch) in [0, 1) draw the random half."""
    n, classes, h, w = cam1.shape
    count = n * h * w
    pixels = rows(torch.stack((f1, f2)))  # (2, M, C)
    with torch.no_grad():
        score = scores(torch.stack((cam1, cam2)), background_score)
        labels = (score * with_background(label)).argmax(2).flatten(1)  # (2, M)
    centres = prototypes(score, pixels.detach(), h * w // divisor, stable)
    # Every pixel of both views against the prototypes of both views, in one product.
    logits = (unit(pixels).flatten(0, 1) @ (centres.flatten(0, 1) / TEMPERATURE).t()).view(2, count, 2, classes)
    # Prototypes of a view stand against the labels of the other: own prototypes, other labels, and the reverse.
    targets = labels.flip(0).t().unsqueeze(0).expand(2, -1, -1)
    losses = F.cross_entropy(logits.reshape(-1, classes), targets.reshape(-1), reduction="none")
    losses = losses.view(2, count, 2).mean(1)  # (view, whose prototypes)
    cross_prototype = (losses[0, 1] + losses[1, 0]) / 2
    cross_label = (losses[0, 0] + losses[1, 1]) / 2
    own = torch.stack((logits[0, :, 0], logits[1, :, 1]))
    positive = own.gather(2, labels.unsqueeze(-1))
    dropped, last = ranks
    negatives = torch.topk(own, min(last, classes), dim=-1).values[..., dropped:]
    mined = torch.logsumexp(torch.cat((positive, negatives), -1), -1) - positive.squeeze(-1)
    similarity = positive.detach().squeeze(-1) * TEMPERATURE
    weights = pixel_weights(labels, similarity, classes, keys)
    intra = (mined * weights).sum() / 2
    return WEIGHT * cross_prototype, WEIGHT * cross_label, WEIGHT * intra


def keys_of(halves):
    """Keys that draw the pixels marked in `halves`, and no others."""
    return 0.5 * (1 - halves) + 0.5 * torch.rand_like(halves)


def loss(f1, f2, cam1, cam2, label, keys, grid=(16, 16), core=terms, **options):
    """The total, from maps of any size. What is compiled is `core`: a compiler's own bilinear gradient is a slow one."""
    maps = [resized(maps, grid) for maps in (f1, f2, cam1.detach(), cam2.detach())]
    return sum(core(*maps, label, keys, **options))

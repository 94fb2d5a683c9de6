"""What several of the losses need."""

import torch
import torch.nn.functional as F

EPSILON = 1e-5


def resized(maps, size):
    """Bilinear with aligned corners; as it is where it has the size."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def with_background(label):
    """(N, foreground) to (N, classes, 1, 1): the background is in every image."""
    return F.pad(label, (0, 1), value=1.0)[:, :, None, None]


@torch.no_grad()
def scores(cams, background_score):
    """Normalised maps with a constant background: (..., classes, h, w) to the same."""
    cams = F.relu(cams)
    least, most = torch.aminmax(cams.flatten(-2), dim=-1)
    least, most = least[..., None, None], most[..., None, None]
    kept = torch.where(cams < least + EPSILON, 0.0, cams)
    normalised = (kept - least - EPSILON) / (most - least + EPSILON)
    normalised[..., -1, :, :] = background_score
    return normalised


def rows(maps):
    """(views, N, C, h, w) to (views, pixels of the batch, C)."""
    return maps.permute(0, 1, 3, 4, 2).flatten(1, 3)


def best(values, k, stable=False):
    """The k largest along the last axis. `stable` puts the first of equal ones first, as the golden vectors do; it sorts,
    and is for checks alone."""
    if stable:
        order = torch.sort(values, dim=-1, descending=True, stable=True)
        return order.values[..., :k], order.indices[..., :k]
    return torch.topk(values, k, dim=-1)


def unit(rows):
    """Rows of length 1; cheaper than `F.normalize`, which divides."""
    return rows * rows.square().sum(-1, keepdim=True).clamp(min=1e-24).rsqrt()


def gathered(pixels, index):
    """Rows of each view: (views, M, C) by (views, classes, k) to (views, classes, k, C)."""
    views, count, channels = pixels.shape
    offset = torch.arange(views, device=index.device).view(-1, 1, 1) * count
    return pixels.reshape(-1, channels)[(index + offset).flatten()].view(*index.shape, channels)


@torch.no_grad()
def prototypes(score, pixels, k, stable=False):
    """A unit vector for each class: the mean of its k best pixels of the batch, weighted by their score.

    score (views, N, classes, h, w), pixels (views, M, C), to (views, classes, C). The background's score is a constant, so
    its best pixels are the first ones.
    """
    of_class = score[:, :, :-1].transpose(1, 2).flatten(2)
    weights, index = best(of_class, k, stable)
    sums = torch.matmul(weights.unsqueeze(2), gathered(pixels, index)).squeeze(2)
    means = sums / weights.sum(-1, keepdim=True)
    background = pixels[:, :k].mean(1, keepdim=True)
    return F.normalize(torch.cat((means, background), 1), dim=-1)

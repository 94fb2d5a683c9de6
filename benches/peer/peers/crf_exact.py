"""The fully connected CRF on small maps with exact kernels: one matrix an image, which serves both views."""

import math

import torch


def kernel(features):
    """exp(-d^2 / 2), normalised symmetrically: (N, pixels, d) to (N, pixels, pixels)."""
    squares = features.square().sum(-1)
    distances = squares.unsqueeze(-1) + squares.unsqueeze(-2) - 2 * features @ features.transpose(-1, -2)
    values = torch.exp(-0.5 * distances.clamp(min=0))
    scale = values.sum(-1).rsqrt()
    return values * scale.unsqueeze(-1) * scale.unsqueeze(-2)


@torch.no_grad()
def refined(images, labels, classes, iterations=10, certain=0.7, gaussian=(3.0, 3.0), bilateral=(50.0, 5.0, 10.0)):
    """images (N, h, w, 3) of bytes, labels (views, N, h, w), to the labels after mean field."""
    views, n, h, w = labels.shape
    y, x = torch.meshgrid(torch.arange(h, device=images.device), torch.arange(w, device=images.device), indexing="ij")
    position = torch.stack((x, y), -1).view(1, -1, 2).float()
    (near, near_weight), (wide, colour, wide_weight) = gaussian, bilateral
    joined = torch.cat((position.expand(n, -1, -1) / wide, images.view(n, -1, 3).float() / colour), -1)
    pairwise = near_weight * kernel(position / near) + wide_weight * kernel(joined)
    of_image = labels.transpose(0, 1).flatten(2).unsqueeze(2)  # (N, views, 1, pixels)
    unary = torch.full((n, views, classes, h * w), math.log((1 - certain) / (classes - 1)), device=images.device)
    unary.scatter_(2, of_image, math.log(certain))
    beliefs = unary.softmax(2)
    for _ in range(iterations):
        messages = torch.bmm(beliefs.flatten(1, 2), pairwise).view_as(unary)
        beliefs = (unary + messages).softmax(2)
    return beliefs.argmax(2).transpose(0, 1).reshape(labels.shape)

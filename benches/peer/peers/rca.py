"""Regional semantic contrast: regions of a batch against every row of the memory."""

import torch
import torch.nn.functional as F

TEMPERATURE, CLAMP = 0.07, 1e-4


def contrast(mid, coarse, memory, label, pairs, shares):
    """mid (N, D, h, w), coarse (N, classes, h, w), memory (classes, length, D) of unit rows, label (N, classes),
    pairs (P, 4): image and class of the region and of the one it is mixed with; shares (P) of the former."""
    classes, length, _ = memory.shape
    with torch.no_grad():
        beliefs = F.softmax(coarse, 1).flatten(2)
        masks = (beliefs > beliefs.mean(-1, keepdim=True)).to(mid.dtype)
        masks = masks / masks.sum(-1, keepdim=True)
        per_image = 1 / label.sum(1)
    image, cls, other_image, other_class = pairs.unbind(1)
    # This way round, the gradient of `mid` comes out as it lies in memory.
    means = torch.bmm(mid.flatten(2), masks.transpose(1, 2))  # (N, D, classes)
    own, other = means[image, :, cls], means[other_image, :, other_class]
    shares = shares.unsqueeze(1)
    mixed = F.normalize(shares * own + (1 - shares) * other, dim=-1)
    logits = (mixed @ memory.flatten(0, 1).t() / TEMPERATURE).view(-1, classes, length)
    logits = logits - logits.detach().amax((1, 2), keepdim=True)
    exponentials = logits.exp()
    sums = exponentials.sum(-1)
    everything = sums.sum(1)
    place = torch.arange(len(pairs), device=mid.device)

    def against(positive):
        negatives = (everything - sums[place, positive]).unsqueeze(1)
        total = (negatives + exponentials[place, positive]).clamp(min=CLAMP)
        return (total.log() - logits[place, positive]).mean(1)

    shares = shares.squeeze(1)
    losses = shares * against(cls) + (1 - shares) * against(other_class)
    return (losses * per_image[image]).sum()


def loss(mid, coarse, memory, label, pairs, shares, normalised, core=contrast):
    """`normalised`: the rows of the memory are kept as unit vectors beside the memory, not made in every step."""
    rows = memory if normalised else F.normalize(memory, dim=-1)
    return core(mid, coarse, rows, label, pairs, shares)

"""Regional semantic contrast: regions of a batch against every row of the memory."""

import torch
import torch.nn.functional as F

TEMPERATURE, CLAMP = 0.07, 1e-4


def regions(label, pairs):
    """What the host knows before the step: the classes of each image, (N, most), the first one again where there are fewer;
    pairs (P, 4) of image and class, the region's and that of the one it is mixed with, as rows of N * most (2, P)."""
    classes = [row.nonzero().flatten().tolist() for row in label.cpu()]
    most = max(map(len, classes))
    slots = torch.tensor([row + row[:1] * (most - len(row)) for row in classes])
    places = [[i * most + classes[i].index(c), j * most + classes[j].index(d)] for i, c, j, d in pairs.tolist()]
    counts = torch.tensor([len(classes[i]) for i, *_ in pairs.tolist()])
    return [tensor.to(label.device) for tensor in (slots, torch.tensor(places).t().contiguous(), counts)]


def contrast(mid, coarse, memory, slots, places, counts, pairs, shares):
    """mid (N, D, h, w), coarse (N, classes, h, w), memory (classes, length, D) of unit rows; `regions` makes slots, places
    and counts; pairs (P, 4), shares (P) of the region itself."""
    classes, length, _ = memory.shape
    with torch.no_grad():
        beliefs = F.softmax(coarse, 1).flatten(2)
        beliefs = beliefs.gather(1, slots.unsqueeze(-1).expand(-1, -1, beliefs.shape[-1]))  # of the image's classes
        masks = (beliefs > beliefs.mean(-1, keepdim=True)).to(mid.dtype)
        masks = masks / masks.sum(-1, keepdim=True)
    cls, other_class = pairs[:, 1], pairs[:, 3]
    # This way round, the gradient of `mid` comes out as it lies in memory.
    means = torch.bmm(mid.flatten(2), masks.transpose(1, 2)).transpose(1, 2).flatten(0, 1)
    own, other = means[places[0]], means[places[1]]
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
    return (losses / counts).sum()


def loss(mid, coarse, memory, known, pairs, shares, normalised, core=contrast):
    """`known` is of `regions`. `normalised`: the rows of the memory are kept as unit vectors beside the memory, not made in
    every step."""
    rows = memory if normalised else F.normalize(memory, dim=-1)
    return core(mid, coarse, rows, *known, pairs, shares)

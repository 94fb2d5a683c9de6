"""ResNet38d, parameters under the names of the released network; the stem and all batch normalisation frozen."""

from torch import nn
import torch.nn.functional as F


def conv(input, output, kernel=1, stride=1, dilation=1):
    return nn.Conv2d(input, output, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation, bias=False)


class Basic(nn.Module):
    def __init__(self, input, middle, output, stride=1, first_dilation=1, dilation=1):
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(input)
        self.conv_branch2a = conv(input, middle, 3, stride, first_dilation)
        self.bn_branch2b1 = nn.BatchNorm2d(middle)
        self.conv_branch2b1 = conv(middle, output, 3, 1, dilation)
        if input != output or stride != 1:
            self.conv_branch1 = conv(input, output, 1, stride)

    def forward(self, x):
        activated = F.relu(self.bn_branch2a(x))
        shortcut = self.conv_branch1(activated) if hasattr(self, "conv_branch1") else x
        branch = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(F.relu(self.bn_branch2b1(branch)))
        return activated, shortcut + branch


class Bottleneck(nn.Module):
    def __init__(self, input, output, dilation):
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(input)
        self.conv_branch2a = conv(input, output // 4)
        self.bn_branch2b1 = nn.BatchNorm2d(output // 4)
        self.conv_branch2b1 = conv(output // 4, output // 2, 3, 1, dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(output // 2)
        self.conv_branch2b2 = conv(output // 2, output)
        self.conv_branch1 = conv(input, output)

    def forward(self, x):
        activated = F.relu(self.bn_branch2a(x))
        branch = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(F.relu(self.bn_branch2b1(branch)))
        branch = self.conv_branch2b2(F.relu(self.bn_branch2b2(branch)))
        return activated, self.conv_branch1(activated) + branch


class ResNet38d(nn.Module):
    """Images (N, 3, H, W) to the taps of 512, 1024 and 4096 channels at an eighth of the size. Without dropout."""

    def __init__(self):
        super().__init__()
        self.conv1a = conv(3, 64, 3)
        self.shallow = []
        self.stage("b2", 3, Basic(64, 128, 128, 2), lambda: Basic(128, 128, 128))
        self.stage("b3", 3, Basic(128, 256, 256, 2), lambda: Basic(256, 256, 256))
        self.stage("b4", 6, Basic(256, 512, 512, 2), lambda: Basic(512, 512, 512))
        self.stage("b5", 3, Basic(512, 512, 1024, dilation=2), lambda: Basic(1024, 512, 1024, 1, 2, 2))
        self.b6, self.b7 = Bottleneck(1024, 2048, 4), Bottleneck(2048, 4096, 4)
        self.bn7 = nn.BatchNorm2d(4096)
        self.eval()
        stem = ("conv1a", "b2")
        for name, parameter in self.named_parameters():
            is_stem = name.split(".")[0].split("_")[0] in stem
            parameter.requires_grad_(not is_stem and ".bn" not in f".{name}")

    def stage(self, name, blocks, first, further):
        for number in range(blocks):
            full = name if number == 0 else f"{name}_{number}"
            setattr(self, full, first if number == 0 else further())
            self.shallow.append(full)

    def forward(self, image):
        x, taps = self.conv1a(image), {}
        for name in [*self.shallow, "b6", "b7"]:
            taps[name], x = getattr(self, name)(x)
        return taps["b5"], taps["b6"], F.relu(self.bn7(x))

"""The peers on the inputs of our bench: one step of each case, eager or compiled."""

import torch
from safetensors.torch import load_file

from . import backbone, crf_exact, hsc, pcm, ppc, rca, seam


class Timed:
    """One case. `step` is what is timed and returns value and gradients; `summary` is what both sides must agree on."""

    def __init__(self, case, form, path, device):
        tensors = {name: tensor.to(device) for name, tensor in load_file(path).items()}
        self.device = device
        self.agreement = None
        compiled = torch.compile(dynamic=False) if form.startswith("compile") else lambda function: function
        kind = case.split("-")[0]
        getattr(self, f"prepare_{kind}")(tensors, form, compiled)

    def leaves(self, tensors, *names):
        return [tensors[name].clone().requires_grad_() for name in names]

    def take(self, loss, leaves):
        """The same step for the check and for the clock."""
        def step():
            value = loss()
            return value.detach(), torch.autograd.grad(value, leaves)

        self.step = step
        if not hasattr(self, "checked"):
            self.checked = step

    def prepare_ppc(self, tensors, form, compiled):
        features = self.leaves(tensors, "features1", "features2")
        given = [tensors["cam1"], tensors["cam2"], tensors["label"]]
        grid, ranks = [int(tensors["grid"])] * 2, tuple(tensors["ranks"].tolist())
        core = compiled(ppc.terms)
        half = tensors["random_half"]

        def loss(keys):
            return ppc.loss(*features, *given, keys, grid=tuple(grid), core=core, ranks=ranks)

        def checked():
            value = loss(ppc.keys_of(half))
            return value.detach(), torch.autograd.grad(value, features)

        # Our step draws its pixels as well.
        self.checked = checked
        self.take(lambda: loss(torch.rand_like(half)), features)

    def prepare_hsc(self, tensors, form, compiled):
        maps = self.leaves(tensors, "pixel1", "pixel2", "region1", "region2")
        cams, label = [tensors["cam1"], tensors["cam2"]], tensors["label"]
        banks = [torch.stack((tensors[f"{name}_bank1"], tensors[f"{name}_bank2"])) for name in ("roi", "class", "pixel")]
        images, classes = tensors["image_bytes"], label.shape[1] + 1
        core, crf = compiled(hsc.levels), compiled(crf_exact.refined)
        given = torch.stack((tensors["refined1"], tensors["refined2"])).long()

        def loss(refine):
            return hsc.loss(maps, cams, label, banks, refine, core=core)[0]

        def checked():
            value = loss(lambda _: given)
            return value.detach(), torch.autograd.grad(value, maps)

        refine = lambda labels: crf(images, labels, classes)
        self.checked = checked
        self.agreement = (refine(hsc.seeds(*cams, label)[1]) == given).double().mean().item()
        self.take(lambda: loss(refine), maps)

    def prepare_rca(self, tensors, form, compiled):
        mid = self.leaves(tensors, "mid")
        is_kept = not form.endswith("normalising")
        memory = tensors["slots"]
        memory = torch.nn.functional.normalize(memory, dim=-1) if is_kept else memory
        known = rca.regions(tensors["label"], tensors["pairs"])
        given = [tensors["coarse"], memory, known, tensors["pairs"], tensors["shares"]]
        core = compiled(rca.contrast)
        self.take(lambda: rca.loss(*mid, *given, normalised=is_kept, core=core), mid)

    def prepare_seam(self, tensors, form, compiled):
        maps = self.leaves(tensors, "cam1", "cam2", "refined1", "refined2")
        sides = tensors["sides"].tolist()
        self.take(lambda: seam.loss(*maps, tensors["label"], sides), maps)

    def prepare_pcm(self, tensors, form, compiled):
        features = self.leaves(tensors, "features")
        self.take(lambda: (pcm.refine(tensors["cam"], *features) * tensors["cotangent"]).sum(), features)

    def prepare_backbone(self, tensors, form, compiled):
        image = tensors.pop("image")
        network = backbone.ResNet38d().to(self.device)
        network.load_state_dict(tensors, strict=False)
        named = dict(network.named_parameters())
        compared = ["b3.conv_branch2a.weight", "b5.conv_branch2b1.weight", "b7.conv_branch2b2.weight"]
        # All of them are computed, as in training; three are compared.
        trained = compared + [name for name in named if named[name].requires_grad and name not in compared]
        self.compared = len(compared)
        self.take(lambda: network(image)[-1].square().mean(), [named[name] for name in trained])

    def summary(self):
        value, gradients = self.checked()
        gradients = gradients[:getattr(self, "compared", None)]
        if self.checked is not self.step:
            self.step()  # so that nothing is compiled, or done for the first time, while it is timed
        summary = {"value": value.item(), "gradients": [gradient.double().norm().item() for gradient in gradients]}
        return summary if self.agreement is None else {**summary, "agreement": self.agreement}

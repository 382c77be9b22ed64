"""Other people's losses on the inputs of loss_peers.py, each by the library that it is known from.

    python benchmarks/loss_peers_torch.py INPUTS.npz RESULTS.npz

Runs in an environment of its own, without xsample_tf:
pip install torch lightly pytorch-metric-learning open-clip-torch
"""

import sys
from importlib import metadata

import numpy as np
import torch
from lightly.loss import NTXentLoss
from open_clip.loss import ClipLoss, SigLipLoss
from pytorch_metric_learning.losses import SupConLoss
from torch.nn.functional import normalize


def main() -> None:
    given = dict(np.load(sys.argv[1]))
    results = {}
    for size in given["sizes"]:
        pairs, labels = (torch.from_numpy(given[f"{name}_{size}"]) for name in ("pairs", "labels"))
        for name, loss in LOSSES.items():
            sources = [pairs.clone()] + [torch.tensor(x) for x in (given["scale"], given["bias"])]
            sources = [source.requires_grad_() for source in sources]
            value = loss(labels, *sources)
            gradients = torch.autograd.grad(value, sources, allow_unused=True)
            results[f"{name}_{size}_value"] = value.detach().numpy()
            for source, gradient in zip(("embeddings", "scale", "bias"), gradients, strict=True):
                if gradient is not None:
                    results[f"{name}_{size}_{source}"] = gradient.numpy()
    packages = ("torch", "lightly", "pytorch-metric-learning", "open-clip-torch")
    results["versions"] = np.array([f"{name} {metadata.version(name)}" for name in packages])
    np.savez(sys.argv[2], **results)


def nt_xent(
    labels: torch.Tensor, pairs: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    return NTXentLoss(1 / scale.item())(pairs[:, 0], pairs[:, 1])


def sup_con(
    labels: torch.Tensor, pairs: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    return SupConLoss(1 / scale.item())(pairs.flatten(0, 1), labels.repeat_interleave(2))


def clip(
    labels: torch.Tensor, pairs: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    images, texts = normalize(pairs, dim=-1).unbind(1)
    return ClipLoss()(images, texts, scale)


def sig_lip(
    labels: torch.Tensor, pairs: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    images, texts = normalize(pairs, dim=-1).unbind(1)
    return SigLipLoss()(images, texts, scale, bias)


LOSSES = {"NT-Xent": nt_xent, "SupCon": sup_con, "CLIP": clip, "SigLIP": sig_lip}


if __name__ == "__main__":
    main()

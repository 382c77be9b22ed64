"""SimCLR and SupCon as a PyTorch user trains them, on the batches that parity.py sends.

    python benchmarks/parity_torch.py SETTINGS_AS_JSON < BATCHES > LOSSES_AND_FEATURES

Runs in an environment of its own, without xsample_tf: pip install torch lightly
pytorch-metric-learning. Writes a line of versions; reads batches of views and labels and writes the
loss of each; then reads batches of images and writes their features, until there are no more.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from importlib import metadata

import numpy as np
import torch
from lightly.loss import NTXentLoss
from pytorch_metric_learning.losses import SupConLoss
from torch import nn
from torch.nn.functional import pad, relu

PACKAGES = ("torch", "lightly", "pytorch-metric-learning")
# Of ImageNet's pixels, by which our encoder normalises.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BETA_2, EPSILON = 0.999, 1e-7

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def main() -> None:
    settings = json.loads(sys.argv[1])
    batch, size = settings["batch_size"], settings["image_size"]
    print(json.dumps({name: metadata.version(name) for name in PACKAGES}), flush=True)
    torch.set_default_dtype(getattr(torch, settings["dtype"]))
    torch.manual_seed(settings["seed"])
    encoder = Encoder()
    projector = make_projector(settings["projector_hidden"], settings["projector_dim"])
    if settings["weights"]:
        load(encoder, projector, dict(np.load(settings["weights"])))
    optimizer, schedule = make_optimizer([*encoder.parameters(), *projector.parameters()], settings)
    loss_of = LOSSES[settings["objective"]](settings["temperature"])
    for step in range(settings["total_steps"]):
        views, labels = read((batch, 2, size, size, 3)), read((batch,), np.int32)
        loss = loss_of(projector(encoder(views.flatten(0, 1))).unflatten(0, (batch, 2)), labels)
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:  # Keras adds it before its correction of the start.
            group["eps"] = EPSILON / math.sqrt(1 - BETA_2 ** (step + 1))
        optimizer.step()
        schedule.step()
        write(loss)
    encoder.eval()
    with torch.inference_mode():
        while (images := read((batch, size, size, 3))) is not None:
            write(encoder(images))


class Encoder(nn.Module):
    """ResNet-18 with its ordinary stem: images `[N, H, W, 3]` in [0, 1] to features `[N, 512]`."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = Convolution(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2)
        self.stacks = nn.Sequential(
            nn.Sequential(Block(64, 64, 1), Block(64, 64, 1)),
            nn.Sequential(Block(64, 128, 2), Block(128, 128, 1)),
            nn.Sequential(Block(128, 256, 2), Block(256, 256, 1)),
            nn.Sequential(Block(256, 512, 2), Block(512, 512, 1)),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises the images and returns the mean of the last feature map."""
        x = (images - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
        x = relu(self.bn1(self.conv1(x.permute(0, 3, 1, 2))))
        x = self.pool(same(x, 3, 2))  # No value is below the padding's 0 here.
        return self.stacks(x).mean((2, 3))


class Block(nn.Module):
    """Two convolutions beside a shortcut (He et al., arXiv 1512.03385)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = Convolution(channels, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = Convolution(width, width, 3, 1), nn.BatchNorm2d(width)
        self.conv0, self.bn0 = nn.Identity(), nn.Identity()
        if stride > 1:
            self.conv0, self.bn0 = Convolution(channels, width, 1, stride), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns a feature map of the same size, or of half the sides."""
        y = relu(self.bn1(self.conv1(x)))
        return relu(self.bn0(self.conv0(x)) + self.bn2(self.conv2(y)))


class Convolution(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does, with He's initial weights."""

    def __init__(self, channels: int, width: int, size: int, stride: int):
        super().__init__(channels, width, size, stride, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pads and convolves."""
        return super().forward(same(x, self.kernel_size[0], self.stride[0]))


def same(x: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """Pads sides that the stride divides so that TensorFlow's and PyTorch's windows are the same.

    PyTorch's own padding is symmetric: at stride 2 its windows begin a pixel earlier.
    """
    padding = max(size - stride, 0)
    return pad(x, 2 * (padding // 2, padding - padding // 2))


def make_projector(hidden: int, size: int) -> nn.Sequential:
    """SimCLR's projector of features `[N, 512]`, with Glorot's initial weights."""
    layers = nn.Sequential(
        nn.Linear(512, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, size),
    )
    for layer in (layers[0], layers[3]):
        nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layers[3].bias)
    return layers


def load(encoder: nn.Module, projector: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Takes over weights by our layers' names; batch norm's running statistics begin alike."""
    for name, layer in [*encoder.named_modules(), *projector.named_modules()]:
        # stacks.1.0.conv2 is v2_stack_1_block1_2_conv there; the projector's layers have numbers.
        name = re.sub(r"^(conv|bn)1$", r"conv1_\1", name)
        name = re.sub(
            r"stacks\.(\d)\.(\d)\.(\D+)(\d)",
            lambda part: f"v2_stack_{part[1]}_block{int(part[2]) + 1}_{part[4]}_{part[3]}",
            name,
        )
        ours = (
            {"weight": "kernel"}
            if isinstance(layer, nn.Conv2d | nn.Linear)
            else {"weight": "gamma", "bias": "beta"}
        )
        for own, parameter in layer.named_parameters(recurse=False):
            value = weights.pop(f"{name}/{ours.get(own, own)}")
            # Height, width, in, out become out, in, height, width; in, out become out, in.
            value = value.transpose((3, 2, 0, 1)) if value.ndim == 4 else value.T
            parameter.data = torch.tensor(value, dtype=parameter.dtype)
    if weights:
        raise ValueError(f"expected all weights to have a place, received {', '.join(weights)}")


def make_optimizer(
    parameters: list[nn.Parameter], settings: dict
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW that decays neither biases nor norms, and warm-up with half a cosine after it."""
    total, warmup = settings["total_steps"], settings["warmup_steps"]

    def rate(step: int) -> float:
        if step < warmup:
            return step / warmup
        return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2

    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=settings["learning_rate"],
        betas=(settings["momentum"], BETA_2),
        weight_decay=settings["weight_decay"],
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def simclr(temperature: float) -> Loss:
    """The loss of lightly, of projections `[B, 2, P]`."""
    loss = NTXentLoss(temperature)
    return lambda projections, labels: loss(projections[:, 0], projections[:, 1])


def supcon(temperature: float) -> Loss:
    """The loss of pytorch-metric-learning, of projections `[B, 2, P]` and labels `[B]`."""
    loss = SupConLoss(temperature)
    return lambda projections, labels: loss(projections.flatten(0, 1), labels.repeat_interleave(2))


LOSSES = {"simclr": simclr, "supcon": supcon}


def read(shape: tuple[int, ...], dtype: type = np.float32) -> torch.Tensor | None:
    """The next array of the input, None at its end."""
    array = np.empty(shape, dtype)
    received = sys.stdin.buffer.readinto(memoryview(array).cast("B"))
    if received not in (0, array.nbytes):
        raise EOFError(f"expected {array.nbytes} bytes, received {received}")
    tensor = torch.from_numpy(array)
    tensor = tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor
    return tensor if received else None


def write(tensor: torch.Tensor) -> None:
    """Writes a tensor as float64."""
    sys.stdout.buffer.write(tensor.detach().double().numpy().tobytes())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

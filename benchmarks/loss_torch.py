"""The losses in PyTorch, for loss.py to compare with: as a good user writes them, and open_clip's.

Runs in an environment of its own, without xsample_tf: pip install torch numpy, and open-clip-torch
for CLIP's and SigLIP's. Each returns the mean loss, and what is learned beside the embeddings.
"""

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

Learned = tuple[torch.Tensor, list[torch.Tensor]]

# SigLIP's start.
BIAS = -10.0
# Rows at a time of `chunked`; 256 and 1,024 take about as long at 2,048 images.
CHUNK = 512


def full(
    captions: torch.Tensor, embeddings: torch.Tensor, temperature: float, target_temperature: float
) -> Learned:
    """The mean loss of embeddings `[B, V, D]` and captions `[B, T]`, every matrix written out."""
    batch, views, _ = embeddings.shape
    columns = functional.normalize(embeddings, dim=-1).flatten(0, 1)
    captions = functional.normalize(captions, dim=-1)
    rows = torch.arange(batch * views)
    total = _cross_entropy(rows, captions, columns, temperature, target_temperature)
    return total / len(rows), []


def chunked(
    captions: torch.Tensor, embeddings: torch.Tensor, temperature: float, target_temperature: float
) -> Learned:
    """The same a chunk of rows at a time, which the backward pass computes again."""
    batch, views, _ = embeddings.shape
    columns = functional.normalize(embeddings, dim=-1).flatten(0, 1)
    captions = functional.normalize(captions, dim=-1)
    total = columns.new_zeros(())
    for rows in torch.arange(batch * views).split(CHUNK - CHUNK % views):
        settings = (rows, captions, columns, temperature, target_temperature)
        total = total + checkpoint(_cross_entropy, *settings, use_reentrant=False)
    return total / (batch * views), []


def clip(
    captions: torch.Tensor, embeddings: torch.Tensor, temperature: float, target_temperature: float
) -> Learned:
    """open_clip's loss of embeddings `[B, 2, D]` of images and texts, with a learned scale."""
    from open_clip.loss import ClipLoss

    images, texts = functional.normalize(embeddings, dim=-1).unbind(1)
    scale = torch.tensor(1 / temperature, requires_grad=True)
    return ClipLoss()(images, texts, scale), [scale]


def siglip(
    captions: torch.Tensor, embeddings: torch.Tensor, temperature: float, target_temperature: float
) -> Learned:
    """open_clip's sigmoid loss, with a learned scale and bias."""
    from open_clip.loss import SigLipLoss

    images, texts = functional.normalize(embeddings, dim=-1).unbind(1)
    learned = [torch.tensor(value, requires_grad=True) for value in (1 / temperature, BIAS)]
    return SigLipLoss()(images, texts, *learned), learned


def _cross_entropy(
    rows: torch.Tensor,
    captions: torch.Tensor,
    columns: torch.Tensor,
    temperature: float,
    target_temperature: float,
) -> torch.Tensor:
    """The sum over rows, all views of some images; in place wherever autograd allows it."""
    views = len(columns) // len(captions)
    itself = (torch.arange(len(rows)), rows)
    with torch.no_grad():
        images = rows[::views] // views
        graph = captions[images] @ captions.T
        graph[torch.arange(len(images)), images] = 1.0
        # To every pair of views, in one copy.
        target = graph[:, None, :, None].expand(-1, views, -1, views).reshape(len(rows), -1)
        target.div_(target_temperature)[itself] = -torch.inf
        target = target.softmax(dim=1)
    logits = columns[rows] @ columns.T / temperature
    # Not minus infinity, which cross_entropy would multiply with the target's 0; to mask the log
    # probabilities instead takes a matrix more.
    logits[itself] = torch.finfo(logits.dtype).min
    return functional.cross_entropy(logits, target, reduction="sum")

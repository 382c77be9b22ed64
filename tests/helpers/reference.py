"""The loss by brute force: scalar loops in float64, written from the paper's equations."""

import math

import numpy as np


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)


def softmax_over(values, members):
    largest = max(values[j] for j in members)
    total = math.fsum(math.exp(values[j] - largest) for j in members)
    return {j: math.exp(values[j] - largest) / total for j in members}


def target_over(similarities, members, target_temperature):
    if target_temperature == 0:
        largest = max(similarities[j] for j in members)
        positive = [j for j in members if similarities[j] >= largest - 1e-4]
        return {j: (1 / len(positive) if j in positive else 0.0) for j in members}
    return softmax_over([value / target_temperature for value in similarities], members)


def loss(
    embeddings,
    similarity,
    temperature,
    target_temperature,
    exclude_self=True,
    weight=None,
    sides=1,
):
    """Per-image loss and statistics `[B]`, and the gradients by z and by tau of the loss's mean.

    embeddings `[B, V, D]` of any length; similarity `[B, B]` between images, diagonal ignored. With
    two sides, the second half of an image's views are candidates of the first, and the reverse.
    """
    raw = np.asarray(embeddings, np.float64)
    batch, views, size = raw.shape
    weight = np.ones(batch) if weight is None else np.asarray(weight, np.float64)
    norm = np.linalg.norm(raw.reshape(-1, size), axis=1)
    z = unit(raw).reshape(-1, size)
    image = np.repeat(np.arange(batch), views)
    count = batch * views
    side = np.arange(count) % views // (views // sides)
    losses, entropies, masses = np.zeros(count), np.zeros(count), np.zeros(count)
    uniformities = np.zeros(count)
    z_gradient, tau_gradient = np.zeros_like(z), 0.0
    for i in range(count):
        members = [
            j
            for j in range(count)
            if side[i] + side[j] == sides - 1 and not (exclude_self and j == i)
        ]
        a = [float(z[i] @ z[j]) / temperature for j in range(count)]
        g = [
            1.0 if image[i] == image[j] else float(similarity[image[i]][image[j]])
            for j in range(count)
        ]
        p = softmax_over(a, members)
        s = target_over(g, members, target_temperature)
        losses[i] = -math.fsum(s[j] * math.log(p[j]) for j in members if s[j] > 0)
        entropies[i] = -math.fsum(s[j] * math.log(s[j]) for j in members if s[j] > 0)
        uniformities[i] = math.log(
            math.fsum(math.exp(a[j] - max(a)) for j in members) / len(members)
        ) + max(a)
        masses[i] = math.fsum(s[j] for j in members if image[i] == image[j] and j != i)
        share = weight[image[i]] / count
        for j in members:
            pull = share * (p[j] - s[j]) / temperature
            z_gradient[i] += pull * z[j]
            z_gradient[j] += pull * z[i]
            tau_gradient -= share * (p[j] - s[j]) * a[j] / temperature
    radial = (z_gradient * z).sum(axis=1, keepdims=True) * z
    raw_gradient = np.divide(
        z_gradient - radial, norm[:, None], out=np.zeros_like(z), where=norm[:, None] > 0
    )

    def by_image(values):
        return values.reshape(batch, views).mean(axis=1)

    by_view = z.reshape(batch, views, size)
    pairs = [(v, u) for v in range(views) for u in range(views) if u != v]
    distances = [np.square(by_view[:, v] - by_view[:, u]).sum(axis=1) for v, u in pairs]
    alignment = {"alignment": np.mean(distances, axis=0)} if pairs else {}
    return {
        "loss": by_image(losses),
        "target_entropy": by_image(entropies),
        "own_mass": by_image(masses),
        "uniformity": by_image(uniformities),
        **alignment,
        "gradient": raw_gradient.reshape(raw.shape),
        "temperature_gradient": tau_gradient,
    }

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


def sigmoid_loss(embeddings, temperature, bias, weight=None):
    """SigLIP's loss of each image and its text `[B]`, by the pair (arXiv 2303.15343, section 3.1).

    embeddings `[B, V + 1, D]` of any length, the text last; the views of an image are averaged. The
    gradients, by embeddings, temperature and bias, are those of the weighted mean.
    """
    raw = np.asarray(embeddings, np.float64)
    batch, places, _ = raw.shape
    weight = np.ones(batch) if weight is None else np.asarray(weight, np.float64)
    norm = np.linalg.norm(raw, axis=-1, keepdims=True)
    z = unit(raw)
    losses, probabilities, distances = np.zeros(batch), np.zeros(batch), np.zeros(batch)
    z_gradient, tau_gradient, bias_gradient = np.zeros_like(z), 0.0, 0.0
    for view in range(places - 1):
        for i in range(batch):
            for j in range(batch):
                cosine = float(z[i, view] @ z[j, -1])
                sign = 1 if i == j else -1
                # Half of a pair's loss belongs to its image, half to its text.
                exponential = math.exp(-sign * (cosine / temperature + bias))
                share = 1 / (2 * (places - 1))
                for owner in (i, j):
                    losses[owner] += share * math.log1p(exponential)
                pull = -sign * exponential / (1 + exponential)
                pull *= share * (weight[i] + weight[j]) / batch
                z_gradient[i, view] += pull / temperature * z[j, -1]
                z_gradient[j, -1] += pull / temperature * z[i, view]
                tau_gradient -= pull * cosine / temperature**2
                bias_gradient += pull
                if i == j:
                    probabilities[i] += 1 / (1 + exponential) / (places - 1)
                    distances[i] += np.square(z[i, view] - z[i, -1]).sum() / (places - 1)
    radial = (z_gradient * z).sum(axis=-1, keepdims=True) * z
    raw_gradient = np.divide(z_gradient - radial, norm, out=np.zeros_like(z), where=norm > 0)
    return {
        "loss": losses,
        "own_probability": probabilities,
        "alignment": distances,
        "gradient": raw_gradient,
        "temperature_gradient": tau_gradient,
        "bias_gradient": bias_gradient,
    }

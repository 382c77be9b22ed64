"""The losses against other people's numbers: values, rows and gradients, dense and tiled."""

import json

import numpy as np
import pytest
from helpers.loss_values import COSINE, evaluate

from xsample_tf import graphs

DENSE = {"implementation": "dense"}
TILED = {"implementation": "tiled", "tile_size": 5}
FORMS = pytest.mark.parametrize("form", [DENSE, TILED], ids=["dense", "tiled"])


@pytest.fixture(scope="session")
def oracle(shared_oracles):
    arrays = np.load(shared_oracles / "peer_losses.npz")
    entries = json.loads((shared_oracles / "peer_losses.json").read_text())["entries"]
    return arrays, {entry["name"]: entry["value"] for entry in entries}


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


def views_of(arrays, prefix="", suffix="", dtype=np.float64):
    views = [arrays[f"{prefix}z{view}{suffix}"] for view in (1, 2)]
    return np.stack(views, axis=1).astype(dtype)


def captions_of(arrays, prefix="", dtype=np.float64):
    return arrays[f"{prefix}t"].astype(dtype)


@FORMS
# Each compiles the tiled form, 5 s.
@pytest.mark.parametrize("tau", [slow("0.05"), "0.1", slow("0.5")])
@pytest.mark.parametrize("tau_s", ["0.001", slow("0.05"), "0.1", slow("0.2"), "1"])
def test_values(oracle, tau, tau_s, form):
    arrays, values = oracle
    expected = values[f"xclr_tau{tau}_taus{tau_s}"]
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-5)):
        ours = evaluate(
            views_of(arrays, dtype=dtype),
            captions_of(arrays, dtype=dtype),
            COSINE,
            float(tau),
            target_temperature=float(tau_s),
            **form,
        )
        np.testing.assert_allclose(ours["loss"].mean(), expected, rtol=tolerance)


@FORMS
@pytest.mark.parametrize("prefix", ["", "large_"])
def test_rows_and_gradients(oracle, prefix, form):
    arrays, values = oracle
    data = views_of(arrays, prefix), captions_of(arrays, prefix)
    ours = evaluate(*data, COSINE, **form)
    np.testing.assert_allclose(ours["loss"], arrays[f"{prefix}xclr_per_image"], rtol=1e-10)
    expected = np.stack([arrays[f"{prefix}xclr_grad_z{v}_raw"] for v in (1, 2)], axis=1)
    np.testing.assert_allclose(ours["gradient"], expected, atol=1e-9 * np.abs(expected).max())
    expected = values[f"{prefix}xclr_grad_tau"]
    np.testing.assert_allclose(ours["temperature_gradient"], expected, rtol=1e-9)
    keep = evaluate(*data, COSINE, exclude_self=False, **form)
    expected = values[f"{prefix}xclr_keep_self_tau0.1_taus0.1"]
    np.testing.assert_allclose(keep["loss"].mean(), expected, rtol=1e-10)


@pytest.mark.parametrize("known", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tile_size", [1, 2, 10, 36, 37, 100])
def test_any_tile_size(oracle, tile_size, known):
    arrays, _ = oracle
    ours = evaluate(
        views_of(arrays, "large_"),
        captions_of(arrays, "large_"),
        COSINE,
        known=known,
        implementation="tiled",
        tile_size=tile_size,
    )
    np.testing.assert_allclose(ours["loss"], arrays["large_xclr_per_image"], rtol=1e-10)
    expected = np.stack([arrays[f"large_xclr_grad_z{v}_raw"] for v in (1, 2)], axis=1)
    np.testing.assert_allclose(ours["gradient"], expected, atol=1e-9 * np.abs(expected).max())


@FORMS
def test_weights(oracle, form):
    arrays, values = oracle
    weight = arrays["large_weight"].astype(np.float64)
    # The table's gradient takes unit rows as free: where they are given, ours is its tangent part.
    z = views_of(arrays, "large_", "_unit")
    ours = evaluate(z, captions_of(arrays, "large_"), COSINE, weight=weight, **form)
    expected = values["large_xclr_weighted_tau0.1_taus0.1"]
    np.testing.assert_allclose(np.mean(weight * ours["loss"]), expected, rtol=1e-10)
    expected = np.stack([arrays[f"large_weighted_grad_z{v}"] for v in (1, 2)], axis=1)
    np.testing.assert_allclose(ours["gradient"], tangent(expected, z), atol=1e-9)


@FORMS
def test_three_views(oracle, form):
    arrays, _ = oracle
    z = arrays["views3_z_unit"].astype(np.float64)
    ours = evaluate(z, arrays["views3_t"].astype(np.float64), COSINE, **form)
    np.testing.assert_allclose(ours["loss"], arrays["views3_xclr_per_image"], rtol=1e-10)
    expected = tangent(arrays["views3_xclr_grad_z"].reshape(z.shape), z)
    np.testing.assert_allclose(ours["gradient"], expected, atol=1e-9)


@FORMS
@pytest.mark.parametrize(
    "name, graph, side_of",
    [
        ("ntxent", graphs.InstanceGraph(), lambda arrays: None),
        ("ntxent", COSINE, lambda arrays: arrays["t_unit"]),
        ("supcon_out", graphs.LabelGraph(), lambda arrays: arrays["labels"]),
        ("supcon_out", COSINE, lambda arrays: arrays["t_unit"][2 * arrays["labels"]]),
    ],
)
def test_limits_are_simclr_and_supcon(oracle, name, graph, side_of, form):
    arrays, values = oracle
    z, side = views_of(arrays, suffix="_unit"), side_of(arrays)
    ours = evaluate(z, side, graph, 0.1, target_temperature=0.0, **form)
    np.testing.assert_allclose(ours["loss"].mean(), values[f"{name}_tau0.1"], rtol=1e-10)
    expected = np.stack([arrays[f"{name}_grad_z{view}"] for view in (1, 2)], axis=1)
    np.testing.assert_allclose(ours["gradient"], tangent(expected, z), atol=1e-9)
    ours = evaluate(z, side, graph, 0.5, target_temperature=0.0, **form)
    np.testing.assert_allclose(ours["loss"].mean(), values[name], rtol=1e-10)


@FORMS
def test_two_sided_loss_is_clips(oracle, form):
    arrays, values = oracle
    pairs = np.stack([arrays["z1_unit"], arrays["t_unit"]], axis=1)
    ours = evaluate(pairs, None, graphs.InstanceGraph(), 0.1, sides=2, **form)
    np.testing.assert_allclose(ours["loss"].mean(), values["clip"], rtol=1e-9)


def tangent(gradient, unit):
    """The part of a gradient by unit vectors along the sphere."""
    return gradient - (gradient * unit).sum(-1, keepdims=True) * unit

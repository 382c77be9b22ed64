"""Parts of a network that train less than others, or not at all."""

import re

import keras

from xsample_tf.errors import InputError, listing

# The beginning of a path that is the name of a block, as `conv2_block1_1_conv` has one.
_BLOCK = re.compile(r"^.*?(?:block|layers?)_?\d+[a-z]?(?=[_/]|$)")


def freeze(model: keras.Model, pattern: str) -> list[str]:
    """Keeps layers from being trained; batch norm among them no longer moves its averages.

    Args:
        model: Built; changed in place, before it is compiled.
        pattern: Regular expression. A layer is frozen, with all inside of it, where the expression
            is found anywhere in its path, such as `encoder/layers_3/mlp`.

    Returns:
        The paths of the layers with weights that are frozen.

    Raises:
        InputError: It is found in the path of no layer with weights.

    Example:
        >>> freeze(backbone("resnet18"), r"conv1|stack_[01]_")[0]
        'conv1_conv'
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.weights]
    found = [layer for layer in layers if re.search(pattern, layer.path)]
    if not found:
        raise InputError(
            f"freeze: expected a pattern of layers with weights, received {pattern!r}, which is "
            f"found in none of {listing(layer.path for layer in layers)}"
        )
    for layer in found:
        layer.trainable = False
    frozen = {id(variable) for layer in found for variable in layer.weights}
    own = (layer for layer in layers if layer._trainable_variables)
    return [one.path for one in own if id(one._trainable_variables[0]) in frozen]


def block_depths(model: keras.Model) -> tuple[dict[int, int], list[str]]:
    """Returns how deep each weight lies, by blocks counted from the images on.

    A block is what has one name with a number, as `conv2_block1` or `encoder/layers_3`. Layers next
    to each other that are in no block count as one, and those behind the last block as part of it.
    A network without blocks has one for each layer with a kernel.

    Args:
        model: Built.

    Returns:
        The depth of each variable by its id, from 0, and the first layer's path of each depth.

    Example:
        >>> block_depths(backbone("resnet18"))[1][:2]
        ['conv1_conv', 'v2_stack_0_block1_1_conv']
    """
    paths = [variable.path.rpartition("/")[0] for variable in model.variables]
    blocks = [match.group() if (match := _BLOCK.match(path)) else "" for path in paths]
    if any(blocks):
        last = max(i for i, block in enumerate(blocks) if block)
        blocks[last + 1 :] = [blocks[last]] * (len(blocks) - last - 1)
    else:  # A norm belongs to the layer before it.
        kernels = [len(variable.shape) > 1 for variable in model.variables]
        for i, path in enumerate(paths):
            blocks[i] = path if kernels[i] or not i else blocks[i - 1]
    depths: dict[int, int] = {}
    firsts: list[str] = []
    seen: dict[str, int] = {}
    before = None
    for variable, path, block in zip(model.variables, paths, blocks, strict=True):
        if block not in seen or (not block and before):
            seen[block] = len(firsts)
            firsts.append(path)
        depths[id(variable)] = seen[block]
        before = block
    return depths, firsts

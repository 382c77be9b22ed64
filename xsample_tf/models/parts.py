"""What an encoder and a projector have to be, looked at when the model is made."""

from collections.abc import Mapping
from typing import Any

import keras

from xsample_tf.errors import InputError, suggest
from xsample_tf.models.inputs import shapes


def check_part(part: str, layer: Any) -> None:
    """Raises `InputError` unless a part is a built Keras 3 model or layer."""
    if not isinstance(layer, keras.Layer):
        kind = f"{type(layer).__module__}.{type(layer).__qualname__}"
        legacy = any("keras" in base.__module__.split(".")[0] for base in type(layer).__mro__)
        raise InputError(
            f"{part}: expected a model or layer of Keras 3 (import keras), received {kind}, "
            + (
                "of another Keras, whose weights Keras 3 does not know; build it with `import "
                "keras`, and leave TF_USE_LEGACY_KERAS unset"
                if legacy
                else "whose weights Keras 3 does not know; make it a keras.Model or keras.Layer"
            )
        )
    if not layer.built:
        raise InputError(
            f"{part}: expected a built Keras model, received {layer.name!r} without weights; call "
            "it once, or give it a keras.Input"
        )


def check_one_input(part: str, layer: keras.Layer) -> None:
    """Raises `InputError` for a functional model of several inputs."""
    taken = getattr(layer, "inputs", None)
    if isinstance(taken, list) and len(taken) > 1:
        raise InputError(
            f"{part}: expected a model of one input, received inputs {shapes(taken)}; give one "
            "that fills in the others, as keras.Model(images, full([images, constants]))"
        )


def check_channels_last(encoder: keras.Layer) -> None:
    """Raises `InputError` where images have their channels before their sides."""
    taken = input_shape(encoder)
    first = len(taken) == 4 and taken[1] in (1, 3) and taken[3] not in (1, 3, 4, None)
    if first or keras.config.image_data_format() != "channels_last":
        received = f"input {taken}" if first else "keras.config.image_data_format() channels_first"
        raise InputError(
            f"encoder: expected images [B, H, W, 3], channels last, received {received}; set "
            "keras.config.set_image_data_format('channels_last') before the encoder is made"
        )


def input_shape(layer: keras.Layer) -> tuple[int | None, ...]:
    """The shape of a part's one input, () where it is not known."""
    try:
        shape = layer.input_shape
    except AttributeError:  # Not functional: what it was built with.
        shape = (layer.get_build_config() or {}).get("input_shape")
        shape = (None, *shape[1:]) if shape and _is_shape(shape) else None
    return tuple(shape) if shape and _is_shape(shape) else ()


def image_shape(encoder: keras.Layer) -> tuple[int | None, int | None, int | None]:
    """`(H, W, C)` of the images that an encoder takes, None where any, or where it is not known."""
    try:
        shape = tuple(encoder.input_shape)
    except (AttributeError, TypeError):
        return None, None, None
    return shape[1:] if len(shape) == 4 and _is_shape(shape) else (None, None, None)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        size is None or isinstance(size, int) for size in value
    )


def with_one_output(encoder: keras.Layer, output: str | None) -> keras.Layer:
    """The encoder, or that of one of its outputs.

    Args:
        encoder: Built.
        output: Name of the output: a key of a dict, or one of a functional model's
            `output_names`; None where there is one.

    Raises:
        InputError: Several outputs without a choice, or a name that is none of theirs.
    """
    outputs = _outputs(encoder)
    if outputs is None or None in outputs:
        if output is not None:
            raise InputError(
                f"output: expected None for an encoder without several outputs, received {output!r}"
            )
        return encoder
    names = [str(name) for name in outputs]
    if output is None and len(outputs) > 1:
        raise InputError(
            f"encoder: expected one vector an image, [B, D], received outputs {shapes(outputs)}; "
            f"choose one, as XSampleModel(encoder, output={names[0]!r})"
        )
    if output is not None and output not in outputs:
        raise InputError(f"output: received {output!r}, {suggest(str(output), names)}")
    name = next(iter(outputs)) if output is None else output
    if _functional(encoder):
        images = encoder.input
    else:
        images = keras.Input(input_shape(encoder)[1:])
        outputs = _named(encoder, encoder(images))
    return keras.Model(images, outputs[name], name=encoder.name)


def _outputs(encoder: keras.Layer) -> dict[str | None, Any] | None:
    """An encoder's outputs by name, {None: ...} where it is one tensor; None if not known."""
    if _functional(encoder):
        return _named(encoder, encoder.output)
    shape = input_shape(encoder)
    if not shape:
        return None
    try:
        found = encoder.compute_output_spec(keras.KerasTensor(shape, encoder.compute_dtype))
    except Exception:  # Anyone's `call` may fail on a symbol; the first step looks again.
        return None
    return _named(encoder, found)


def _functional(encoder: keras.Layer) -> bool:
    try:
        return encoder.output is not None
    except (AttributeError, ValueError):
        return False


def _named(encoder: keras.Layer, found: Any) -> dict[str | None, Any]:
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, list | tuple):
        names = getattr(encoder, "output_names", None) or [f"output_{i}" for i in range(len(found))]
        return dict(zip(names, found, strict=True))
    return {None: found}


def check_sizes(encoder: keras.Layer, projector: keras.Layer | None) -> None:
    """Raises `InputError` unless an encoder's vectors are what the projector takes."""
    found = _outputs(encoder)
    shape = None if found is None else tuple(next(iter(found.values())).shape)
    check_vectors(shape)
    size = None if shape is None else shape[-1]
    taken = () if projector is None else input_shape(projector)
    if taken and None not in (size, taken[-1]) and size != taken[-1]:
        raise InputError(
            f"projector: expected input [B, {size}], the encoder's output, received {taken}"
        )


def check_vectors(shape: tuple[int | None, ...] | None) -> None:
    """Raises `InputError` unless an encoder's output has the shape `[B, D]`."""
    if shape is not None and len(shape) != 2:
        raise InputError(
            f"encoder: expected one vector an image, [B, D], received output {shape}; add a "
            "pooling layer, as keras.layers.GlobalAveragePooling"
            + ("1D" if len(shape) == 3 else "2D")
        )


def serialized_function(function: Any) -> Any:
    """A configuration from which `deserialized_function` makes a function, or a bound method.

    Raises:
        InputError: It is neither a registered function nor a method of a registered object.
    """
    owner = getattr(function, "__self__", None)
    try:
        if owner is not None and hasattr(owner, "get_config"):
            config = keras.saving.serialize_keras_object(owner)
            return {"owner": config, "method": function.__name__}
        if function is None or owner is None:
            return keras.saving.serialize_keras_object(function)
    except (AttributeError, TypeError, ValueError):
        pass
    raise InputError(
        f"finish_views: expected a method of an object with get_config, as views.SimCLR's, or a "
        f"function registered with Keras, received {function!r}, which cannot be saved"
    )


def deserialized_function(config: Any, custom_objects: Any = None) -> Any:
    """What `serialized_function` was given."""
    if isinstance(config, Mapping) and "owner" in config:
        owner = keras.saving.deserialize_keras_object(config["owner"], custom_objects)
        return getattr(owner, config["method"])
    return keras.saving.deserialize_keras_object(config, custom_objects)

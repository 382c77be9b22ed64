"""The ways in which a model can be called, and the one that maps images to vectors."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError, suggest
from xsample_tf.models import parts

# Of several signatures that would do, the one that TensorFlow serves; Keras's export writes the
# same function as `serve` too.
DEFAULT_SIGNATURES = ("serving_default", "serve", "default")
# Of several outputs that would do, the one that says so; an export of two towers has both, the
# encoder's own and that in the space of its texts.
DEFAULT_OUTPUTS = ("features", "embedding")
# The signature of a model that is called itself.
CALL = "__call__"
_FLAGS = "--signature, --input, --output_name and --input_range, or the arguments of load"


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call a model.

    Attributes:
        name: Its name.
        inputs: Named specs of the tensors that it takes.
        outputs: Named specs of those that it gives.
        bind: Of the names of an input and of an output: the function from the one to the other. Of
            a SavedModel's signature also of several outputs, in a tuple.
    """

    name: str
    inputs: tuple[tf.TensorSpec, ...]
    outputs: tuple[tf.TensorSpec, ...]
    bind: Callable[[str, Any], Callable[[tf.Tensor], Any]] = dataclasses.field(repr=False)

    def __str__(self) -> str:
        """The signature as `name(input) -> output`, with dtypes and shapes."""
        return f"{self.name}({_listed(self.inputs)}) -> {_listed(self.outputs) or 'nothing'}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """A signature with the input that takes images and the output that gives vectors."""

    signature: Signature
    input: tf.TensorSpec
    output: tf.TensorSpec

    @property
    def channels_first(self) -> bool:
        """Whether images are `[B, 3, H, W]`."""
        return not _channels_last(self.input.shape)

    @property
    def batch(self) -> int | None:
        """The only number of images that a call takes; None where any."""
        return self.input.shape[0] if self.input.shape.rank else None

    @property
    def sides(self) -> tuple[int | None, int | None]:
        """Height and width of the images; None where any."""
        if self.input.shape.rank is None:
            return None, None
        first = 2 if self.channels_first else 1
        return self.input.shape[first], self.input.shape[first + 1]

    def function(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the function from pixels, as the input takes them, to the output."""
        return self.signature.bind(self.input.name, self.output.name)


def choose(
    signatures: Sequence[Signature],
    signature: str | None = None,
    input: str | None = None,
    output: str | None = None,
) -> Choice:
    """Returns what maps images to vectors, where one thing only can be meant.

    Args:
        signatures: Of a model.
        signature: Name of the one to take. Defaults to None: the only one that takes images and
            gives vectors, or among several `serving_default`.
        input: Name of the input that takes images. Defaults to None: the only one that can.
        output: Name of the output that gives vectors. Defaults to None: the only one that can, or
            among several `features`, or `embedding`.

    Raises:
        InputError: A name that is none of theirs; nothing, or more than one thing, can be meant.
    """
    if signature is not None:
        _check_known("signature", signature, [one.name for one in signatures])
        signatures = [one for one in signatures if one.name == signature]
    if input is not None:
        _check_known("input", input, [spec.name for one in signatures for spec in one.inputs])
    if output is not None:
        _check_known("output", output, [spec.name for one in signatures for spec in one.outputs])
    found = [choice for one in signatures for choice in _choices(one, input, output)]
    names = {choice.signature.name for choice in found}
    default = next((name for name in DEFAULT_SIGNATURES if name in names), None)
    if default is not None:
        found = [choice for choice in found if choice.signature.name == default]
    outputs = {choice.output.name for choice in found}
    named = next((name for name in DEFAULT_OUTPUTS if name in outputs), None)
    if len(found) > 1 and named is not None:
        found = [choice for choice in found if choice.output.name == named]
    if len(found) == 1:
        return found[0]
    what = "several that would do" if found else "none"
    raise InputError(
        f"model: expected one signature from images [B, H, W, 3] or [B, 3, H, W] to vectors "
        f"[B, D], received {what} among ",
        f"{'; '.join(map(str, signatures)) or 'no signatures'}; choose by {_FLAGS}",
    )


def signatures_of(model: Any) -> list[Signature]:
    """Returns the ways to call a Keras model, or what `tf.saved_model.load` gives."""
    if isinstance(model, keras.Layer):
        return [_of_keras(model)]
    found = [_of_saved(name, model.signatures[name]) for name in model.signatures]
    return found or _of_call(model)


def _choices(signature: Signature, input: str | None, output: str | None) -> Iterable[Choice]:
    """What of a signature could be meant."""
    for taken in signature.inputs:
        others = [spec for spec in signature.inputs if spec.name != taken.name]
        if input not in (None, taken.name) or not _takes_images(taken):
            continue
        # A Keras model is cut to what its output needs; elsewhere everything has to be given.
        if signature.name != CALL and not all(map(_is_switch, others)):
            continue
        for given in signature.outputs:
            if output in (None, given.name) and _gives_vectors(given):
                yield Choice(signature, taken, given)


def _is_switch(spec: tf.TensorSpec) -> bool:
    """Whether an input is a flag such as `training`, which is given as False."""
    return spec.dtype == tf.bool and spec.shape.rank == 0


def _takes_images(spec: tf.TensorSpec) -> bool:
    numbers = spec.dtype.is_floating or (spec.dtype.is_integer and not spec.dtype.is_quantized)
    if not numbers or spec.shape.rank is None:
        return numbers
    return spec.shape.rank == 4 and (_channels_last(spec.shape) or spec.shape[1] == 3)


def _channels_last(shape: tf.TensorShape) -> bool:
    if shape.rank is None or shape[3] == 3:
        return True
    return shape[3] is None and shape[1] != 3


def _gives_vectors(spec: tf.TensorSpec) -> bool:
    if not spec.dtype.is_floating or spec.shape.rank is None:
        return spec.dtype.is_floating
    return spec.shape.rank == 2 or (spec.shape.rank == 4 and spec.shape[1:3] == [1, 1])


def _of_saved(name: str, function: Any) -> Signature:
    """A signature of a SavedModel."""
    inputs = function.structured_input_signature[1]

    def bind(input: str, output: str | tuple[str, ...]) -> Callable[[tf.Tensor], Any]:
        switches = {key: tf.constant(False) for key in inputs if key != input}

        def call(pixels: tf.Tensor) -> Any:
            given = function(**switches, **{input: pixels})
            return tf.nest.map_structure(given.__getitem__, output)

        return call

    return Signature(name, _specs(inputs), _specs(function.structured_outputs), bind)


def _of_call(model: Any) -> list[Signature]:
    """What a SavedModel without signatures does when it is called, as those of TF-Hub."""
    for function in getattr(vars(model).get(CALL), "concrete_functions", ()):
        arguments, named = function.structured_input_signature
        given = [*arguments, *named.values()]
        tensors = [value for value in given if isinstance(value, tf.TensorSpec)]
        if len(tensors) != 1 or any(value is True for value in given):  # As training=True.
            continue
        outputs = _by_name(function.structured_outputs)

        def bind(input: str, output: str, arguments=arguments, named=named) -> Callable:
            del input

            def call(pixels: tf.Tensor) -> tf.Tensor:
                def fill(value: Any) -> Any:
                    return pixels if isinstance(value, tf.TensorSpec) else value

                filled = {key: fill(value) for key, value in named.items()}
                return _by_name(model(*map(fill, arguments), **filled))[output]

            return call

        spec = tensors[0]
        named_spec = tf.TensorSpec(spec.shape, spec.dtype, spec.name or "input")
        return [Signature(CALL, (named_spec,), _specs(outputs), bind)]
    return []


def _of_keras(model: keras.Layer) -> Signature:
    """A Keras model, which is cut to one input and one output where it is functional."""
    try:
        given, found = model.input, model.output
    except (AttributeError, ValueError):  # Subclassed.
        shape = parts.input_shape(model)
        given = keras.KerasTensor(shape or (None, None, None, 3), model.compute_dtype)
        found = model.compute_output_spec(given)
        inputs, outputs = _by_name(given, ["input"]), _by_name(found)

        def bind(input: str, output: str) -> Callable[[tf.Tensor], tf.Tensor]:
            del input
            return _compiled(lambda pixels: _by_name(model(pixels, training=False))[output])

        return Signature(CALL, _specs(inputs), _specs(outputs), bind)
    inputs = _by_name(given, [tensor.name for tensor in tf.nest.flatten(given)])
    outputs = _by_name(found, getattr(model, "output_names", None))

    def bind(input: str, output: str) -> Callable[[tf.Tensor], tf.Tensor]:
        try:
            part = keras.Model(inputs[input], outputs[output])
        except ValueError as error:
            raise InputError(
                f"output: expected one that {input!r} alone decides, received {output!r}, which "
                f"needs other inputs of {_listed(_specs(inputs))}"
            ) from error
        return _compiled(lambda pixels: part(pixels, training=False))

    return Signature(CALL, _specs(inputs), _specs(outputs), bind)


def _compiled(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(function, autograph=False, reduce_retracing=True)


def _by_name(structure: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The tensors of a model's inputs or outputs by name."""
    if isinstance(structure, Mapping):
        return dict(structure)
    flat = tf.nest.flatten(structure)
    if names is None or len(names) != len(flat):
        names = [f"output_{place}" for place in range(len(flat))]
    return dict(zip(names, flat, strict=True))


def _specs(tensors: Mapping[str, Any]) -> tuple[tf.TensorSpec, ...]:
    return tuple(
        tf.TensorSpec(tensors[name].shape, tensors[name].dtype, str(name))
        for name in sorted(tensors)  # TensorFlow loads them in any order.
    )


def _listed(specs: Iterable[tf.TensorSpec]) -> str:
    return ", ".join(map(describe, specs))


def describe(spec: tf.TensorSpec) -> str:
    """Returns a named spec as `name: dtype [sizes]`.

    Example:
        >>> describe(tf.TensorSpec([None, 3], tf.uint8, "pixels"))
        'pixels: uint8 [None, 3]'
    """
    shape = "of any shape" if spec.shape.rank is None else f"{spec.shape.as_list()}"
    return f"{spec.name}: {spec.dtype.name} {shape}"


def _check_known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise InputError(f"{kind}: received {name!r}, {suggest(name, set(known))}")

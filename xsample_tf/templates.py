"""Captions of class names."""

from collections.abc import Iterable

from xsample_tf.errors import InputError

CLASS_TEMPLATE = "a photo of a {}"  # The paper's, section 4.


def class_caption(template: str, class_name: str) -> str:
    """Returns the caption of a class: `template` with the name, underscores as spaces, for {}."""
    return template.replace("{}", class_name.replace("_", " ").strip())


def fill_template(template: str, class_names: Iterable[str]) -> list[str]:
    """Returns one caption per class name, `{}` of the template replaced by the name.

    Underscores in a name become spaces; "a" or "an" before the name is left as written. The
    paper's template is "a photo of a {}" (Section 4).

    Args:
        template: Text with `{}` where the class name goes.
        class_names: Class names, length C.

    Returns:
        C captions, in the order of the names.

    Raises:
        InputError: The template has no `{}`, or a class name is blank.

    Example:
        >>> fill_template("a photo of a {}", ["aquarium_fish", "bear"])
        ['a photo of a aquarium fish', 'a photo of a bear']
    """
    if "{}" not in template:
        raise InputError(
            "template: expected text with '{}' where the class name goes, received "
            f"{template!r}; write for example 'a photo of a {{}}'"
        )
    captions = []
    for index, name in enumerate(class_names):
        if not name.replace("_", " ").strip():
            raise InputError(f"class names: expected text, received {name!r} at index {index}")
        captions.append(class_caption(template, name))
    return captions

"""Classifiers that come with the package; needs no TensorFlow.

Each is two files: the network, NAME.keras, and NAME.json, its card, which says
what it was trained on and how, what was measured, and the checksum of the
network.
"""

from pathlib import Path
from typing import Any

from tfgan_robust.errors import UsageError
from tfgan_robust.files import read_json_object, sha256

# Where a model is named, such as `--model=pretrained:cifar10-jpeg75`.
PREFIX = "pretrained:"
FOLDER = Path(__file__).parents[1] / "pretrained"
# What commands read of a card.
_PARTS = {
    "sha256": str,
    "dataset": str,
    "class_names": list,
    "settings": dict,
}
# And what it may say.
_MORE = {"images": str, "begun with": list, "measured": dict}


def names() -> list[str]:
    """Returns what there is."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def is_pretrained(model: object) -> bool:
    """Tells whether a model is named, rather than given as a path."""
    return isinstance(model, str) and model.startswith(PREFIX)


def card(model: str) -> dict[str, Any]:
    """Returns what is said of a classifier.

    Args:
        model: Its name, with `PREFIX` or without.

    Returns:
        "sha256"; "dataset", the name of the images it was trained on;
        "class_names", of its logits, in their order; "settings", of its
        training; "measured", as an evaluation's results.json; and what else
        people want to know.

    Raises:
        UsageError: for a name that there is not, or a card that lacks these.
    """
    name = model.removeprefix(PREFIX)
    if name not in names():
        known = ", ".join(names()) or "none is installed"
        raise UsageError(
            f"There is no pretrained classifier of that name. Known: {known}. "
            f"Received: {name}."
        )
    file = FOLDER / f"{name}.json"
    found = read_json_object(file)
    for part, kind in (_PARTS | _MORE).items():
        if part in _MORE and part not in found:
            continue
        if not isinstance(found.get(part), kind):
            raise UsageError(
                f"{file} is damaged: it does not say `{part}`. Install the "
                "package again, or copy the file from its repository."
            )
    return found


def locate(model: str | Path) -> Path:
    """Returns the file of a model, which is there and undamaged if pretrained.

    Args:
        model: The name of a pretrained classifier, with `PREFIX`, or a path.

    Raises:
        UsageError: see `card`; for a file that is absent, too, or has another
            checksum than its card says.
    """
    if not is_pretrained(model):
        return Path(model)
    expected = card(str(model))["sha256"]
    file = FOLDER / f"{str(model).removeprefix(PREFIX)}.keras"
    if not file.is_file():
        raise UsageError(
            f"{file} is absent, though its card is there; install the package "
            "again, or copy the file from its repository."
        )
    found = sha256(file)
    if found != expected:
        raise UsageError(
            f"{file} is damaged: its SHA-256 should be {expected}. Received: "
            f"{found}. Install the package again, or copy the file from its "
            "repository."
        )
    return file

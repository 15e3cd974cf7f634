"""Any images in folders: train/<class>/*.png, test/<class>/*.png."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from tfgan_robust.data.resizing import centre, resize
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import DataNotFoundError, UsageError

# A file with such a name is meant to be an image; others may be one, too.
SUFFIXES = (
    ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
)  # fmt: skip
_LAYOUT = "D/train/<class>/*.png (or another format) and D/test/<class>/*.png"
# Unused files that are named; the rest are counted.
_MOST_NAMED = 3


def load(
    data_dir: str | Path | None, image_size: int | None, split: str
) -> tuple[DatasetInfo, Split]:
    """Loads the images of a split, ordered by path; classes by name.

    Every file that Pillow recognises by its content is an image, and stands
    upright as its EXIF data say; links are followed. Hidden files and folders
    are left alone; other files that are not used are noted in the description.

    Args:
        data_dir: Holds train/<class>/ and test/<class>/.
        image_size: Side in pixels to which the middle square of each image is
            resized; None if all are squares of one size.
        split: "train" or "test".

    Returns:
        Description and images, grey ones as three equal channels, without
        transparency, of an animation the first image.

    Raises:
        UsageError: for one class only, an empty class, test images of a class
            without training images, an unreadable image, a broken link,
            sizes that differ.
        DataNotFoundError: if there are no such folders. Test images need no
            folder of training images.
    """
    if data_dir is None:
        raise UsageError(f"`dataset=folder` needs `data_dir=D` with {_LAYOUT}.")
    root = Path(data_dir).expanduser()
    class_names = _class_names(root, split)
    paths: list[Path] = []
    unused: list[Path] = []
    for name in class_names:
        found, rest = _sort_out(root / split / name)
        paths += found
        unused += rest
    # As text, not part by part: this order decides which images are held
    # out, in earlier runs too.
    paths.sort(key=str)
    images = _as_array(paths, image_size)
    info = DatasetInfo(
        class_names=class_names,
        image_shape=images.shape[1:],
        source=f"folder {root.name}",
        notes=_note(root, unused),
    )
    labels = [class_names.index(path.parent.name) for path in paths]
    return info, Split(images, np.array(labels, np.int64))


def _class_names(root: Path, split: str) -> tuple[str, ...]:
    """Class names in the order of labels."""
    names = _folders(root / split)
    if split == "train" and len(names) < 2:
        raise UsageError(
            f"{root / split} needs at least two classes. "
            f"Received: {', '.join(names) or 'none'}."
        )
    if not names:
        raise UsageError(f"{root / split} holds no folders of classes.")
    # Found out before a training rather than after it.
    only = set(_folders(root / "test")) - set(names)
    if split == "train" and only:
        raise UsageError(
            "Test images must be of classes with training images. Received "
            f"in {root / 'test'} only: {', '.join(sorted(only))}."
        )
    return tuple(names)


def _folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataNotFoundError(
            f"{folder} is no folder; `data_dir=D` must hold {_LAYOUT}."
        )
    names = sorted(each.name for each in _visible(folder) if each.is_dir())
    for name in names:
        # Reports, models and tables are written in UTF-8.
        if _as_text(name) != name:
            raise UsageError(
                "Names of class folders must be UTF-8; rename it. Received: "
                f"{_as_text(name)} in {folder}."
            )
    return names


def _as_text(name: str) -> str:
    """A file's name, in which bytes that are no UTF-8 are written out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        # A class or an image that is elsewhere must not be lost unnoticed.
        if path.is_symlink() and not path.exists():
            raise UsageError(
                f"{_as_text(str(path))} is a link to nothing that can be "
                "read; mend or remove it."
            )
        yield path


def _sort_out(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the images of a class, and what else lies in its folder."""
    images, unused = [], []
    for path in _visible(folder):
        if path.is_dir():
            unused += [p for p in path.rglob("*") if p.is_file()]
        elif _is_image(path):
            images.append(path)
        else:
            unused.append(path)
    if not images:
        raise UsageError(
            f"The class folder {folder} holds no image; add some or remove it."
        )
    return images, unused


def _is_image(path: Path) -> bool:
    try:
        with PIL.Image.open(path):
            return True
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(path, error) from None
    except OSError:
        if path.suffix.lower() in SUFFIXES:
            raise _unreadable(path) from None
        return False


def _note(root: Path, unused: list[Path]) -> tuple[str, ...]:
    if not unused:
        return ()
    named = [_as_text(str(p.relative_to(root))) for p in sorted(unused)]
    more = ", ..." if len(named) > _MOST_NAMED else ""
    return (
        f"{len(named)} files in {root.name} are not used: "
        f"{', '.join(named[:_MOST_NAMED])}{more}",
    )


def _unreadable(image: Path) -> UsageError:
    return UsageError(
        f"{_as_text(str(image))} is no readable image; replace or remove it."
    )


def _too_large(image: Path, error: Exception) -> UsageError:
    return UsageError(f"{_as_text(str(image))} is too large: {error}")


def _decode(path: Path) -> np.ndarray:
    """Returns uint8 [height, width, 3]."""
    try:
        with PIL.Image.open(path) as stored:
            # As cameras note it, and viewers show it.
            image = PIL.ImageOps.exif_transpose(stored)
            if not image.mode.startswith(("I", "F")):
                return np.asarray(image.convert("RGB"))
            pixels = np.asarray(image)
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(path, error) from None
    # A file that is cut off, or that claims to be of another size.
    except (OSError, SyntaxError, ValueError):
        raise _unreadable(path) from None
    return _deep(pixels, path)


def _deep(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Keeps the upper 8 of 16 bits of grey; Pillow would cut values off."""
    if not np.issubdtype(pixels.dtype, np.integer) or pixels.max() >= 2**16:
        raise UsageError(
            f"{path} has pixels that no common image has; convert it to 8 "
            f"bits for each channel. Received: {pixels.dtype}."
        )
    grey = (pixels.astype(np.uint32) >> 8).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def _as_array(paths: list[Path], image_size: int | None) -> np.ndarray:
    if image_size is None:
        decoded = _squares(paths)
    else:
        decoded = (
            resize(centre(_decode(path))[np.newaxis], image_size)[0]
            for path in paths
        )
    first = next(decoded)
    # Filled one by one: large images would not fit twice.
    images = np.empty((len(paths), *first.shape), np.uint8)
    images[0] = first
    for index, image in enumerate(decoded, start=1):
        images[index] = image
    return images


def _squares(paths: list[Path]) -> Iterator[np.ndarray]:
    """Yields images that are squares of one size."""
    side = None
    for path in paths:
        image = _decode(path)
        height, width, _ = image.shape
        side = side or height
        if height != width or height != side:
            received = [f"{path} of {height} x {width}"]
            if height != side:
                received.insert(0, f"{paths[0]} of {side} x {side}")
            raise UsageError(
                "Without `image_size` all images must be squares of one size. "
                f"Received: {' and '.join(received)} pixels; give "
                "`image_size=32`, for example."
            )
        yield image

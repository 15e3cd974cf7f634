"""Table 1 of the paper, from the networks themselves."""

from collections.abc import Iterator
from typing import Any

from tfgan_robust.reports.tables import markdown_table

# Of CIFAR-10.
_SHAPE, _CLASSES = (32, 32, 3), 10
_SHOWN = ("Conv2D", "Conv2DTranspose", "MaxPooling2D", "Flatten", "Dense")


def layers(network: Any) -> Iterator[tuple[str, str, str, str]]:
    """Yields layer, output size, filters and parameters of what has some."""
    for layer in network.layers:
        kind = type(layer).__name__
        if kind not in _SHOWN:
            continue
        shape = layer.output.shape[1:]
        size = "x".join(map(str, shape[:-1])) or str(shape[-1])
        what = kind
        if hasattr(layer, "kernel_size"):
            height, width = layer.kernel_size
            what = f"{kind} {height}x{width}, stride {layer.strides[0]}"
        filters = str(getattr(layer, "filters", ""))
        yield what, size, filters, f"{layer.count_params():,}"


def merged(
    rows: Iterator[tuple[str, str, str, str]],
) -> list[tuple[str, ...]]:
    """Joins equal layers that follow each other."""
    found: list[tuple[str, ...]] = []
    counts: list[int] = []
    for row in rows:
        if found and found[-1][:3] == row[:3]:
            counts[-1] += 1
            total = int(found[-1][3].replace(",", "")) + int(
                row[3].replace(",", "")
            )
            found[-1] = (*row[:3], f"{total:,}")
        else:
            found.append(row)
            counts.append(1)
    return [
        (f"{row[0]}{f', x{count}' if count > 1 else ''}", *row[1:])
        for row, count in zip(found, counts, strict=True)
    ]


def tables() -> dict[str, str]:
    """Returns a Markdown table for each network of Table 1, by its title."""
    from tfgan_robust.networks.generator import build_generator
    from tfgan_robust.networks.vgg import build_vgg

    networks = {
        "classifier (discriminator)": build_vgg(
            _SHAPE, _CLASSES, classifier_width=1.0, dropout_scale=1.0,
            batchnorm_momentum=0.99,
        ),
        **{
            f"generator x{width}, grad_x": build_generator(
                _SHAPE, 6, width=float(width), name=f"generator_x{width}"
            )
            for width in (1, 2)
        },
    }  # fmt: skip
    header = ("layer", "output", "filters", "parameters")
    return {
        f"{title}: {network.count_params():,} parameters": markdown_table(
            header, merged(layers(network))
        )
        for title, network in networks.items()
    }

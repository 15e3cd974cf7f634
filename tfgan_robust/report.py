"""The page that tells people of an evaluation; needs no TensorFlow."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tfgan_robust import plots, run_directory, settings
from tfgan_robust.attack_plan import CLEAN
from tfgan_robust.errors import UsageError
from tfgan_robust.radii import format_eps
from tfgan_robust.results import Evaluation, Pointwise, Result, StageResult
from tfgan_robust.tables import audit_line

SCHEMA_VERSION = 2
WORST = "worst case"
_FIGURES = ("accuracy", "classes", "confusion", "smallest")
_NORMS = {"linf": "L-infinity, on the [0, 1] pixel scale", "l2": "Euclidean"}
_PROTOCOLS = {
    "worst": "worst (an image counts as right only if it is right while clean "
    "and wherever an attack looked)",
    "final": "final (only the last iterate of each run counts)",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """The images of an evaluation.

    Attributes:
        name: Of the data set.
        source: Where it comes from.
        split: "test" or "validation".
        classes: Their names.
    """

    name: str
    source: str
    split: str
    classes: list[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """What holds for all figures of an evaluation.

    Attributes:
        dataset: The images.
        date: Of the measurement, as in ISO 8601.
        device: What it ran on.
        versions: Of all that matters, by name.
    """

    dataset: Dataset
    date: str
    device: str
    versions: dict[str, str]


@dataclasses.dataclass(frozen=True)
class StoredEvaluation:
    """What the folder of an evaluation holds.

    Attributes:
        evaluation: With masks and predictions if they were kept, and without
            `smallest`.
        conditions: What else results.json says.
        labels: int64 [n]; None if there is no masks.npz.
        smallest: The arrays of smallest.npz; empty if there is none.
    """

    evaluation: Evaluation
    conditions: Conditions
    labels: np.ndarray | None
    smallest: dict[str, np.ndarray]

    def class_names(self) -> list[str]:
        """Returns a name for each class that occurs anywhere."""
        names = self.conditions.dataset.classes
        seen = [*self.evaluation.predicted.values(), np.array([-1])]
        seen += [array for array in (self.labels,) if array is not None]
        seen += [
            self.smallest[n] for n in ("label", "predicted") if self.smallest
        ]
        largest = max(int(array.max(initial=-1)) for array in seen)
        return names + [str(i) for i in range(len(names), largest + 1)]


def read_evaluation(folder: Path) -> StoredEvaluation:
    """Reads results.json and, if they are there, masks.npz and smallest.npz.

    Raises:
        UsageError: if the folder holds no evaluation, or one that cannot be
            read, is of another schema, or contradicts itself.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise UsageError(
            f"There is no evaluation in {folder}: it has no results.json."
        )
    stored = settings.load_json_object(path)
    version = stored.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{path} must have schema_version {SCHEMA_VERSION}, the only one "
            f"known. Received: {version}. Evaluate again."
        )
    try:
        evaluation = _convert(Evaluation, stored)
        conditions = _convert(Conditions, stored)
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not what it says it is: {error}."
        ) from None
    masks = _read_arrays(folder / "masks.npz")
    if masks and not _attach(evaluation, masks):
        raise UsageError(
            f"masks.npz and results.json in {folder} are of different "
            "evaluations. Evaluate again."
        )
    return StoredEvaluation(
        evaluation,
        conditions,
        masks.get("labels"),
        _read_arrays(folder / "smallest.npz"),
    )


def _convert(kind: Any, value: Any) -> Any:
    """Turns JSON into dataclasses and what they hold, if the types fit."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(
            **{n: _convert(t, value[n]) for n, t in hints.items() if n in value}
        )
    if origin in (list, tuple):
        return origin(_convert(inner[0], each) for each in value)
    if origin is dict:
        return {key: _convert(inner[1], each) for key, each in value.items()}
    if origin is types.UnionType:
        return None if value is None else _convert(inner[0], value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile,
            zlib.error) as error:  # fmt: skip
        raise UsageError(f"Cannot read {path}: {error}.") from None


def _attach(evaluation: Evaluation, arrays: dict[str, np.ndarray]) -> bool:
    """Gives an evaluation its masks, unless they are not its own."""
    for result in evaluation.results:
        name = result.attack
        if name != CLEAN:
            name += f"@{result.eps:.6g}"
        mask = arrays.get(name)
        predicted = arrays.get(f"{name}:predicted")
        if (
            mask is None
            or predicted is None
            or not (
                len(mask)
                == len(predicted)
                == len(arrays.get("labels", ()))
                == result.num_images
                and np.count_nonzero(mask) == result.num_correct
            )
        ):
            return False
        evaluation.masks[result.attack, result.eps] = mask
        evaluation.predicted[result.attack, result.eps] = predicted
    return True


def surviving(
    evaluation: Evaluation, eps: float, attacks: Iterable[str]
) -> np.ndarray:
    """Returns which images some attacks leave right, up to a radius.

    Args:
        evaluation: With masks.
        eps: The radius; the same attacks at smaller ones count too.
        attacks: Their names; clean images count in any case.

    Returns:
        bool [n].
    """
    names = {CLEAN, *attacks}
    return np.logical_and.reduce(
        [m for (a, e), m in evaluation.masks.items() if a in names and e <= eps]
    )


def curves(evaluation: Evaluation) -> dict[str, list[Result | Pointwise]]:
    """Returns what each attack leaves right, by rising eps, and all together.

    Each begins with clean images, at an eps of 0; the worst case, named
    `WORST`, is last.
    """
    clean = [r for r in evaluation.results if r.attack == CLEAN]
    found: dict[str, list[Result | Pointwise]] = {}
    for result in evaluation.results:
        if result.attack != CLEAN:
            found.setdefault(result.attack, [*clean]).append(result)
    if evaluation.pointwise:
        found[WORST] = [*clean, *evaluation.pointwise]
    return {n: sorted(r, key=lambda row: row.eps) for n, r in found.items()}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table, aligned for those who read it as text."""
    lines = [[_escape(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines
    )


def write_report(folder: Path) -> list[Path]:
    """Writes evaluation.md, and its figures in evaluation/.

    Args:
        folder: Of an evaluation.

    Returns:
        What was written, the page first.

    Raises:
        UsageError: as `read_evaluation`.
    """
    folder = Path(folder)
    stored = read_evaluation(folder)
    figures = _figures(stored)
    page, images = folder / "evaluation.md", folder / "evaluation"
    images.mkdir(exist_ok=True)
    for name in _FIGURES:
        path = images / f"{name}.png"
        if name in figures:
            plots.save(figures[name], path)
        else:
            path.unlink(missing_ok=True)
    blocks: list[str] = []
    for name, section in _sections(stored).items():
        blocks += section
        if name in figures:
            blocks.append(f"![{name}](evaluation/{name}.png)")
    run_directory.write_text(page, "\n\n".join(blocks) + "\n")
    return [page, *(images / f"{name}.png" for name in figures)]


def _sections(stored: StoredEvaluation) -> dict[str, list[str]]:
    """Returns the blocks of the page, by the figure that closes them."""
    evaluation = stored.evaluation
    head = [f"# Evaluation of {_escape(evaluation.classifier)}"]
    if not evaluation.complete:
        head.append(
            "**INCOMPLETE**: this evaluation was interrupted. Attacks that had "
            "not come to their end are missing."
        )
    sections = {
        "head": [*head, "## Threat model", _threat_model(stored)],
        "accuracy": ["## Accuracy", *_accuracies(evaluation)],
        "audit": ["## Audit", *_audit(evaluation)],
        "attacks": ["## Attacks", *_attacks(evaluation)],
    }
    if stored.labels is not None and evaluation.pointwise:
        sections["classes"] = ["## Classes", *_classes(stored)]
        sections["confusion"] = ["## Confusion", *_confusion(stored)]
    if len(stored.smallest.get("index", ())):
        sections["smallest"] = ["## Smallest perturbations", *_smallest(stored)]
    return sections


def _threat_model(stored: StoredEvaluation) -> str:
    evaluation, conditions = stored.evaluation, stored.conditions
    dataset = conditions.dataset
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    radii = sorted({r.eps for r in attacked})
    protocols = dict.fromkeys(r.protocol for r in attacked)
    rows = {
        "norm": _NORMS[evaluation.norm],
        "eps": ", ".join(map(format_eps, radii)) or "none",
        "protocol": "; ".join(_PROTOCOLS[p] for p in protocols) or "none",
        "images": f"{evaluation.num_images:,}, the first of the split",
        "split": f"{dataset.split} of {dataset.name} ({dataset.source})",
        "seed": str(evaluation.seed),
        "batch size": str(evaluation.batch_size),
        "compiled with XLA": "yes" if evaluation.jit_compile else "no",
        "device": conditions.device,
        "versions": ", ".join(
            f"{k} {v}" for k, v in conditions.versions.items()
        ),
        "date": conditions.date,
    }
    return markdown_table(("what", "value"), rows.items())


def _accuracies(evaluation: Evaluation) -> list[str]:
    cells = {(r.attack, r.eps): _share(r) for r in evaluation.results}
    cells |= {(WORST, p.eps): _share(p) for p in evaluation.pointwise}
    radii = sorted({eps for _, eps in cells})
    header = ["attack", *(f"eps {format_eps(eps)}" for eps in radii), "n"]
    rows = [
        [attack, *(cells.get((attack, eps), "") for eps in radii)]
        for attack in dict.fromkeys(attack for attack, _ in cells)
    ]
    count = f"{evaluation.num_images:,}"
    blocks = [
        _escape(audit_line(evaluation.audit)),
        markdown_table(header, [[*row, count] for row in rows]),
        "In % of n, with 95 % Wilson intervals. Under the worst case, an image "
        "counts if nothing at this eps or a smaller one fooled it.",
    ]
    shares = [
        r.largest_perturbation / r.eps for r in evaluation.results if r.eps
    ]
    if shares:
        blocks.append(f"Largest perturbation: {max(shares):.6f} eps.")
    return blocks


def _audit(evaluation: Evaluation) -> list[str]:
    checks = evaluation.audit
    if checks is None:
        return [
            audit_line(None),
            "Nothing tells whether the attacks work here.",
        ]
    rows = [
        (
            check.check,
            check.verdict,
            check.message,
            ", ".join(f"{k} {v:.4g}" for k, v in check.figures.items()),
        )
        for check in checks
    ]
    return [
        _escape(audit_line(checks)),
        markdown_table(("check", "verdict", "finding", "figures"), rows),
    ]


def _attacks(evaluation: Evaluation) -> list[str]:
    header = (
        "attack", "eps", "stage", "steps", "loss", "step size", "start",
        "restarts", "images", "left", "forward", "backward", "time",
    )  # fmt: skip
    rows = [
        (result.attack, format_eps(result.eps), *_stage(stage, result.eps))
        for result in evaluation.results
        for stage in result.stages
    ]
    return [
        markdown_table(header, rows),
        "Stages run one after another, each on what those before it left; "
        "forward and backward: mean passes for each image of the stage.",
    ]


def _stage(stage: StageResult, eps: float) -> tuple[str, ...]:
    steps = str(stage.num_steps)
    if stage.num_targets:
        steps += f" x {stage.num_targets} targets"
    size = f"{stage.step_size / eps:.3g} eps" if stage.step_size else "-"
    if stage.momentum:
        size += f", momentum {stage.momentum:g}"
    return (
        stage.name,
        steps,
        stage.loss.replace("_", " ") or "-",
        size,
        "random" if stage.random_start else "clean",
        str(stage.num_restarts),
        f"{stage.num_images:,}",
        f"{stage.num_correct:,}",
        f"{stage.forward_passes:.1f}",
        f"{stage.backward_passes:.1f}",
        f"{stage.seconds:.1f} s",
    )


def _classes(stored: StoredEvaluation) -> list[str]:
    names, series = _by_class(stored)
    sizes = [
        f"{np.count_nonzero(stored.labels == i):,}" for i in range(len(names))
    ]
    columns = [
        ["" if share is None else _percent(share) for share in shares]
        for shares in series.values()
    ]
    rows = zip(names, sizes, *columns, strict=True)
    return [
        _escape(audit_line(stored.evaluation.audit)),
        markdown_table(("class", "n", *series), rows),
    ]


def _by_class(
    stored: StoredEvaluation,
) -> tuple[list[str], dict[str, list[Share | None]]]:
    """Returns the classes, and accuracies on each: clean and in the worst case."""
    evaluation, names = stored.evaluation, stored.class_names()
    eps = _named_eps(evaluation)
    masks = {
        CLEAN: surviving(evaluation, 0.0),
        f"{WORST} at {format_eps(eps)}": surviving(evaluation, eps),
    }
    series: dict[str, list[Share | None]] = {}
    for label, mask in masks.items():
        of_class = [mask[stored.labels == i] for i in range(len(names))]
        series[label] = [
            (float(part.mean()), *wilson(int(part.sum()), part.size))
            if part.size
            else None
            for part in of_class
        ]
    return names, series


def _confusion(stored: StoredEvaluation) -> list[str]:
    counts, names, attack = _confused(stored)
    if len(names) <= plots.MAX_PAIRED + 1:
        rows = [
            [name, *map(str, row)]
            for name, row in zip(names, counts, strict=False)
        ]
        told = markdown_table(("class", *names), rows)
    else:
        others = counts.copy()
        np.fill_diagonal(others, 0)
        order = np.argsort(-others, axis=None, kind="stable")
        pairs = np.transpose(
            np.unravel_index(order[: plots.MAX_PAIRED], others.shape)
        )
        told = markdown_table(
            ("class", "taken for", "images"),
            [
                (names[i], names[j], str(others[i, j]))
                for i, j in pairs
                if others[i, j]
            ],
        )
    return [
        f"Images by their class (rows) and by what they are taken for under "
        f"{_escape(attack)}, the strongest attack there.",
        told,
    ]


def _confused(stored: StoredEvaluation) -> tuple[np.ndarray, list[str], str]:
    """Returns counts by true and predicted class, names, and the attack."""
    evaluation, names = stored.evaluation, stored.class_names()
    eps = _named_eps(evaluation)
    # Of equals the last: the user named the strong attacks last.
    strongest = min(
        reversed([r for r in evaluation.results if r.eps == eps]),
        key=lambda result: result.num_correct,
    )
    # Unknown predictions, -1, end in a column of their own.
    counts = np.zeros((len(names), len(names) + 1), np.int64)
    predicted = evaluation.predicted[strongest.attack, eps]
    np.add.at(counts, (stored.labels, predicted), 1)
    names = [*names, "unknown"]
    if not counts[:, -1].any():
        counts, names = counts[:, :-1], names[:-1]
    return counts, names, f"{strongest.attack} at {format_eps(eps)}"


def _smallest(stored: StoredEvaluation) -> list[str]:
    names, arrays = stored.class_names(), stored.smallest
    rows = [
        (str(index), names[label], names[predicted], attack,
         _length(stored.evaluation, norm))
        for index, label, predicted, attack, norm in zip(
            *(arrays[n] for n in ("index", "label", "predicted", "attack", "norm")),
            strict=True,
        )
    ]  # fmt: skip
    return [
        "Of the images that are right while clean, those that the smallest "
        "perturbations fool. Only fab looks for small ones; all other attacks "
        "may use the whole radius.",
        markdown_table(("image", "class", "taken for", "attack", "norm"), rows),
    ]


def _figures(stored: StoredEvaluation) -> dict[str, Figure]:
    evaluation = stored.evaluation
    note = f"n = {evaluation.num_images:,}; {audit_line(evaluation.audit)}"
    if not evaluation.complete:
        note = f"INCOMPLETE; {note}"
    figures = {}
    if evaluation.pointwise:
        lines = [
            plots.Curve(name, color, rows, bold=name == WORST)
            for (name, rows), color in zip(
                curves(evaluation).items(), itertools.cycle(plots.PALETTE)
            )
        ]

"""What a preset's experiments left: published rows, and what lies behind them.

An experiment publishes figures; which images they are of, how the attacks were
run and how the training went is kept beside them, in `trials/`. Claims and the
report need both.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.findings.intervals import Measured, MissingError, Seeds
from experiments.harness.experiment import Row, entry, seeds_in
from experiments.harness.study import is_of_network
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.errors import UsageError
from tfgan_robust.files import read_json_object
from tfgan_robust.reports.numbers import same_eps
from tfgan_robust.reports.reading import (
    StoredEvaluation,
    read_arrays,
    read_evaluation,
)
from tfgan_robust.reports.results import Result
from tfgan_robust.reports.stage_settings import describe
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training.records import read_metrics

# What experiments published, by name.
Results = Mapping[str, Mapping[str, Any]]
# Beside clean images.
ATTACKED = "attacked"
# Of freedom: from how many on an experiment's own seeds are enough.
_ENOUGH = 8
# Of the figures of a run, those that say why it is robust, or is not.
_HEALTH = ("fgsm_success", "train_mode_accuracy", "inference_mode_accuracy")


def read(results: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns what experiments published, with what lies behind it.

    Rows get `resolved` (settings), `trained in` (a precision), `health`,
    `alarms` and `classes`, and their accuracies `images`, `image set`, `mask`,
    `how` and `seconds`, where that is kept; `directions` gets `overtaken` (see
    `walk.Walk`), by name.

    Args:
        results: The folder of a preset's results.
        names: Of experiments; those that were not run are left out.

    Raises:
        UsageError: if what is kept contradicts what was published.
    """
    found = {}
    for name in names:
        file = results / f"{name}.json"
        if not file.is_file():
            continue
        stored = read_json_object(file)
        rows = stored.get("rows", [])
        stored["rows"] = [
            with_evidence(row, results / "trials") for row in rows
        ]
        arrays = read_arrays(file.with_suffix(".npz"))
        if "overtaken" in arrays:
            pairs = zip(stored["directions"], arrays["overtaken"], strict=True)
            stored["overtaken"] = dict(pairs)
        found[name] = stored
    return found


def with_evidence(row: Row, trials: Path) -> Row:
    """Returns a row with what its trial kept.

    Args:
        row: See `experiment.row_of`.
        trials: The folder of all trials.

    Raises:
        UsageError: see `read`.
    """
    folder = trials / row["trial"]
    full = {**row, **_training(folder)}
    places = [folder / _measurement(row, each) for each in row["accuracy"]]
    kept = {
        place: read_evaluation(place)
        for place in dict.fromkeys(places)
        if (place / "results.json").is_file()
    }
    for place in kept:
        if not is_of_network(place, folder):
            raise UsageError(
                f"{row['trial']} was trained again after {place} was measured. "
                "Run its experiments again, which measure what is kept."
            )
    full["accuracy"] = [
        {"images": row["images"], **each, **_behind(each, kept.get(place), row)}
        for each, place in zip(row["accuracy"], places, strict=True)
    ]
    for stored in kept.values():
        full["classes"] = len(stored.conditions.dataset.classes)
    return full


def _measurement(row: Row, each: Row) -> str:
    """The folder of an accuracy; rows may join several measurements."""
    return str(each.get("measurement", row["measurement"]))


def _behind(each: Row, stored: StoredEvaluation | None, row: Row) -> Row:
    if stored is None:
        return {}
    result = _result(stored.evaluation.results, each)
    if result is None or result.num_correct != each["correct"]:
        raise UsageError(
            f"What is kept of {row['trial']} under {each['attack']} is not "
            "what was published. Run its experiment again, which publishes "
            "what is kept."
        )
    found = {
        "images": result.num_images,
        "how": _how(result),
        "seconds": result.seconds,
    }
    mask = stored.evaluation.masks.get((result.attack, result.eps))
    identity = stored.conditions.identity
    if mask is not None and identity:
        found |= {"mask": mask, "image set": identity["images"]}
    return found


def _result(results: Iterable[Result], each: Row) -> Result | None:
    for result in results:
        if result.attack == each["attack"] and same_eps(
            result.eps, each["eps"]
        ):
            return result
    return None


def _how(result: Result) -> str:
    """How an attack was run, but for its radius."""
    stages = "; ".join(
        f"{stage.name}: {describe(stage.settings, result.eps)}"
        for stage in result.stages
    )
    return f"{stages}; protocol {result.protocol}"


def _training(folder: Path) -> Row:
    run = RunDirectory(folder)
    found: Row = {}
    if run.config.is_file():
        config = read_json_object(run.config)
        found["resolved"] = config["settings"]
        if isinstance(config.get("precision"), Mapping):
            found["trained in"] = config["precision"]["name"]
    if run.metrics.is_file():
        found["health"] = health(run)
    if run.alarms.is_file():
        found["alarms"] = json.loads(run.alarms.read_text("utf-8"))
    return found


def health(run: RunDirectory) -> dict[str, float]:
    """Returns the last figures on generators and modes, as shares of 1."""
    every = read_metrics(run.metrics)
    rows = [row for row in every if "inference_mode_accuracy" in row]
    if not rows:
        return {}
    return {
        name: value
        for name, value in rows[-1].items()
        if name in _HEALTH or name.endswith("_success")
    }


def method_of(row: Row) -> str:
    """Returns the name that the seeds of a training share."""
    return str(row["trial"]).removesuffix(f"-{row['seed']}")


def seeds_of(rows: Iterable[Row]) -> str:
    """Returns how many seeds each training has, such as "1 to 3 seeds"."""
    return seeds_in(rows, method_of)


def seeds_of_trainings(results: Results) -> dict[str, dict[str, Seeds]]:
    """Returns how far seeds are apart wherever trainings were repeated.

    Returns:
        Of "clean" and of "attacked" images, by the name that seeds share.
    """
    # By seed at last: several experiments may measure one network.
    trainings: dict[tuple[str, str], dict[Any, dict[int, float]]] = {}
    for stored in results.values():
        for row in stored.get("rows", ()):
            for each in row["accuracy"]:
                kind = CLEAN if each["attack"] == CLEAN else ATTACKED
                training = trainings.setdefault((kind, method_of(row)), {})
                key = (row["split"], row["checkpoint"],
                       each["attack"], round(each["eps"], 6))  # fmt: skip
                seeds = training.setdefault(key, {})
                seeds[row["seed"]] = 100 * each["accuracy"]
    return {
        kind: {
            method: Seeds.of([list(seeds.values()) for seeds in each.values()])
            for (of, method), each in trainings.items()
            if of == kind
        }
        for kind in (CLEAN, ATTACKED)
    }


def seeds_apart(results: Results) -> dict[str, Seeds]:
    """Returns how far seeds are apart, whatever was trained.

    What was trained once may be as far from another seed: too little is
    repeated to tell kinds of training from each other.

    Returns:
        Of "clean" and of "attacked" images.
    """
    every = seeds_of_trainings(results)
    return {kind: Seeds.pooled(of.values()) for kind, of in every.items()}


def with_seeds(results: Results, name: str) -> dict[str, Any]:
    """Returns what an experiment published, and how far seeds are apart.

    Its own, if it repeats enough, else those of all experiments.

    Args:
        results: See `read`.
        name: Of an experiment that is there.
    """
    alone = {name: results[name]}
    own, every = map(seeds_of_trainings, (alone, results))
    apart = {
        kind: of
        if Seeds.pooled(of.values()).degrees >= _ENOUGH
        else every[kind]
        for kind, of in own.items()
    }
    return {**results[name], "seeds apart": apart}


def _network(rows: Sequence[Row]) -> str:
    """Names what rows have in common where nothing was chosen of them."""
    methods = dict.fromkeys(method_of(row) for row in rows)
    at = dict.fromkeys(str(row.get("checkpoint", "")) for row in rows)
    return " ".join(filter(None, [*methods, *at])) or "anything"


def measured(
    stored: Mapping[str, Any], attack: str, eps: float, **where: Any
) -> Measured:
    """Returns an accuracy of the rows that have these values.

    Args:
        stored: What an experiment published, of which `seeds apart`, if that
            is there, says how far another seed may be.
        attack: Such as "clean".
        eps: In 255ths; 0 for clean images.
        **where: Columns by name, with "_" for spaces.

    Raises:
        MissingError: if there is no such row.
    """
    wanted = {name.replace("_", " "): value for name, value in where.items()}
    rows = [
        row
        for row in stored["rows"]
        if all(row.get(key) == value for key, value in wanted.items())
    ]
    pairs = [(row, entry(row, attack, eps / 255)) for row in rows]
    found = [(row, each) for row, each in pairs if each is not None]
    name = ", ".join(map(str, wanted.values())) or _network(rows)
    if not found:
        raise MissingError(f"no {attack} at {eps:g}/255 of {name}")
    each_of = [each for _, each in found]
    masks = [each["mask"] for each in each_of if "mask" in each]
    sets = {each.get("image set", "") for each in each_of}
    paired = len(sets) == 1 and len(masks) == len(each_of)
    kind = CLEAN if attack == CLEAN else ATTACKED
    classes = found[0][0].get("classes")
    return Measured(
        f"{name}: {attack}" + (f" {eps:g}/255" if eps else ""),
        tuple(100 * each["accuracy"] for each in each_of),
        min(each.get("images", row["images"]) for row, each in found),
        masks=tuple(masks) if paired else (),
        image_set=sets.pop() if paired else "",
        split=str(found[0][0]["split"]),
        networks=tuple(
            f"{row['trial']} {row['checkpoint']}"
            for row, _ in found
            if "trial" in row
        ),
        elsewhere=_of_others(stored, kind, [row for row, _ in found]),
        chance=100 / classes if classes else None,
    )


def _of_others(
    stored: Mapping[str, Any], kind: str, rows: Sequence[Row]
) -> Seeds:
    """Returns how far seeds of other trainings than these are apart."""
    own = {method_of(row) for row in rows if "trial" in row}
    known = stored.get("seeds apart", {}).get(kind, {})
    return Seeds.pooled(of for name, of in known.items() if name not in own)

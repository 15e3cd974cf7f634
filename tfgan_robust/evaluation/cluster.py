"""Hands the parts of an evaluation to the workers of a Ray cluster.

A part is a Ray task with a GPU, or with cores, of its own. Ray starts the
tasks of a lost machine again on another one, where they go on from what they
had written.
"""

import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfgan_robust.cli import importing, signals
from tfgan_robust.errors import TfganRobustError, UsageError, in_one_line
from tfgan_robust.evaluation.cluster_worker import (
    SECONDS_BETWEEN_LOOKS,
    Board,
    run,
)
from tfgan_robust.evaluation.merging import Parts, read_parts
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.shards import FOLDER, ClusterSettings, Shard
from tfgan_robust.lazy import load
from tfgan_robust.reports.progress import progress_bar, say

# For each worker, so that none waits long for the last one.
_PARTS_PER_WORKER = 4
# How often a part may lose its worker.
_MOST_LOSSES = 5
_SECONDS_TO_STOP = 30.0


class _Workers(NamedTuple):
    """What a part is given, and how many can be measured at a time."""

    resources: dict[str, Any]
    number: int


def measure_parts(options: EvaluateSettings, cluster: ClusterSettings) -> Parts:
    """Measures all parts of an evaluation, each on a free worker.

    Args:
        options: The evaluation; all machines see its folder, its classifier
            and its data at the same paths.
        cluster: Where the workers are.

    Returns:
        The parts, put together.

    Raises:
        UsageError: if Ray is not installed, there is no cluster, the folder
            holds other parts, or a worker refuses its part.
        TfganRobustError: if a part failed, or lost too many workers.
    """
    folder = options.folder
    if folder is None or options.part is not None:
        raise UsageError(
            "`cluster` measures all parts, and needs `output`, to put them "
            f"together. Received: output={folder}, shard={options.shard}."
        )
    ray = _connected(cluster)
    # What a handler raises, Ray turns into Ctrl-C.
    with signals.StopRequest() as stop:
        try:
            workers = _workers(ray.nodes(), cluster.cores)
            parts = _parts(folder, options, cluster.shards, workers)
            _measure(ray, options, parts, workers, stop)
        finally:
            ray.shutdown()
    stop.raise_if_asked()
    return read_parts(folder)


def _connected(cluster: ClusterSettings) -> Any:
    try:
        ray = load("ray")
    except ImportError:
        raise UsageError(
            "`cluster` needs Ray, in a clone: pip install '.[cluster]'."
        ) from None
    try:
        # Ray's own ends the process with a code that says nothing.
        with signals.keeping_handlers():
            ray.init(
                address=cluster.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    # Whatever it meets on its way there.
    except Exception as error:
        raise UsageError(
            f"There is no Ray cluster to be reached: {in_one_line(error)}. "
            f"Received: cluster={cluster.cluster}."
        ) from None
    return ray


def _workers(nodes: Sequence[Mapping[str, Any]], cores: int | None) -> _Workers:
    """Returns one worker for each GPU or, without any, for so many cores.

    Args:
        nodes: The machines, as Ray lists them.
        cores: Of a worker; None for all of the smallest machine.

    Raises:
        UsageError: if no machine has as many.
    """
    sizes = _sizes(nodes, "CPU")
    if any(_sizes(nodes, "GPU")):
        resources = {"num_gpus": 1, "num_cpus": cores or 1}
    else:
        each = cores or min(filter(None, sizes), default=1)
        resources = {"num_cpus": each}
    count = _count(nodes, resources)
    if not count:
        beside = " beside a GPU" if "num_gpus" in resources else ""
        raise UsageError(
            f"No machine of the cluster has as many `cores`{beside} for a "
            f"worker. Received: cores={cores}, machines with {sizes}."
        )
    return _Workers(resources, count)


def _count(
    nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, int]
) -> int:
    """Returns how many workers of such resources there is room for."""
    cpus, gpus = _sizes(nodes, "CPU"), _sizes(nodes, "GPU")
    if not resources.get("num_gpus"):
        return sum(cpu // resources["num_cpus"] for cpu in cpus)
    return sum(
        min(gpu // resources["num_gpus"], cpu // resources["num_cpus"])
        for cpu, gpu in zip(cpus, gpus, strict=True)
    )


def _sizes(nodes: Sequence[Mapping[str, Any]], kind: str) -> list[int]:
    """Returns how much each machine has of what Ray calls so."""
    return [
        int(node["Resources"].get(kind, 0)) for node in nodes if node["Alive"]
    ]


def _parts(
    folder: Path,
    options: EvaluateSettings,
    count: int | None,
    workers: _Workers,
) -> list[Shard]:
    """Returns the parts to be measured: those that are begun, or new ones."""
    begun = set()
    for path in sorted(folder.glob(f"{FOLDER}/*-of-*")):
        number, _, parts = path.name.partition("-of-")
        begun.add(Shard.parse(f"{number}/{parts}").parts)
    if options.overwrite and begun:
        shutil.rmtree(folder / FOLDER)
        begun = set()
    if count is None:
        usual = _PARTS_PER_WORKER * workers.number
        new = min(options.num_images or usual, usual)
        # The cluster may have had other workers then.
        count = min(begun, default=new)
    if begun - {count}:
        raise UsageError(
            f"{folder / FOLDER} holds parts of "
            f"{', '.join(map(str, sorted(begun)))}; give `shards` as many, "
            "another `output`, or `overwrite` to measure anew. Received: "
            f"shards={count}."
        )
    return [Shard(number, count) for number in range(1, count + 1)]


def _measure(
    ray: Any,
    options: EvaluateSettings,
    parts: Sequence[Shard],
    workers: _Workers,
    stop: signals.StopRequest,
) -> None:
    here = ray.get_runtime_context().get_node_id()
    pinned = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    # On this machine, which is lost only with this process.
    board = (
        ray.remote(Board)
        .options(num_cpus=0, scheduling_strategy=pinned(here, soft=False))
        .remote()
    )
    # A new process for each: TensorFlow gives no memory back.
    task = ray.remote(max_calls=1, max_retries=_MOST_LOSSES)(run)
    if workers.resources.get("num_gpus"):
        threads = None
    else:
        threads = workers.resources["num_cpus"]
    pending = {}
    for part in parts:
        settings = dataclasses.asdict(
            # What is there was dropped: they go on when started again.
            dataclasses.replace(options, shard=str(part), overwrite=False)
        )
        pending[
            task.options(name=f"part {part}", **workers.resources).remote(
                settings, importing.IMPORTED, os.getcwd(), threads, board
            )
        ] = part
    try:
        _wait(ray, pending, board, stop, workers)
    except BaseException:
        for reference in pending:
            ray.cancel(reference)
        # They keep what they have.
        ray.wait(
            list(pending), num_returns=len(pending), timeout=_SECONDS_TO_STOP
        )
        raise


def _wait(
    ray: Any,
    pending: dict[Any, Shard],
    board: Any,
    stop: signals.StopRequest,
    workers: _Workers,
) -> None:
    """Waits for all parts, and shows how far they are.

    Args:
        ray: The module.
        pending: The parts by Ray's references; those that are done are taken
            out.
        board: The `Board`.
        stop: Whether somebody wants it to end.
        workers: Who measures, as there were at first.

    Raises:
        KeyboardInterrupt: if so.
        TfganRobustError: if a part failed, or lost too many workers.
    """
    count, told = len(pending), set()
    title = f"{count} parts on a Ray cluster"
    with progress_bar(title, "image") as bar:
        while pending:
            stop.raise_if_asked()
            done, _ = ray.wait(
                list(pending), timeout=SECONDS_BETWEEN_LOOKS, fetch_local=False
            )
            progress, starts = ray.get(board.read.remote())
            if progress:
                # Parts that have not begun are about as large as the others.
                totals = [total for _, total in progress.values()]
                bar.total = round(sum(totals) / len(totals) * count)
                bar.n = sum(now for now, _ in progress.values())
                bar.refresh()
            for part, started in starts.items():
                # Ray does not count those that it ends as memory is short.
                if started > 1 + _MOST_LOSSES:
                    raise _lost_too_often(part, "memory may be too small")
                if started > 1 and (part, started) not in told:
                    told.add((part, started))
                    say(f"part {part} lost its worker, and is started again")
            workers = _recounted(ray, workers)
            for reference in done:
                part = pending.pop(reference)
                _check(ray, reference, part)
                say(f"part {part} is measured; {len(pending)} are left")


def _check(ray: Any, reference: Any, part: Shard) -> None:
    """Raises what a part failed with, if it did."""
    try:
        refusal = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        reason = in_one_line(error.cause or error)
        raise TfganRobustError(f"Part {part} failed: {reason}") from None
    except ray.exceptions.RayError as error:
        (reason, *_) = str(error).splitlines()
        raise _lost_too_often(part, reason) from None
    if refusal is not None:
        raise refusal


def _lost_too_often(part: object, reason: str) -> TfganRobustError:
    return TfganRobustError(
        f"Part {part} lost its worker more than {_MOST_LOSSES} times: {reason}"
    )


def _recounted(ray: Any, before: _Workers) -> _Workers:
    """Returns the workers that there are now, and says if it is news."""
    now = _count(ray.nodes(), before.resources)
    if now == before.number:
        return before
    waiting = "" if now else "; parts wait until there are"
    say(f"the cluster has {now} workers now, and had {before.number}{waiting}")
    return before._replace(number=now)

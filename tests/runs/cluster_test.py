"""TF_CONFIG: which workers there are, which one this is, and what is wrong."""

import json

import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.runs import cluster
from tfgan_robust.runs.cluster import Cluster

TWO = ["a:1", "b:2"]


def written(task=("worker", 0), **jobs):
    kind, index = task
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": jobs, "task": task})


def test_workers_in_order_the_first_leads():
    first = cluster.parse(written(worker=TWO))
    second = cluster.parse(written(("worker", 1), worker=TWO))
    assert first == Cluster(("a:1", "b:2"), 0)
    assert first.leads
    assert second.index == 1
    assert not second.leads
    assert second.name(0) == "the chief (a:1)"
    assert second.name(1) == "worker 1 (b:2)"


def test_a_chief_of_its_own_is_first():
    jobs = {"worker": TWO, "chief": ["c:3"]}
    chief = cluster.parse(written(("chief", 0), **jobs))
    worker = cluster.parse(written(("worker", 1), **jobs))
    assert chief == Cluster(("c:3", "a:1", "b:2"), 0)
    assert worker == Cluster(("c:3", "a:1", "b:2"), 2)


def test_an_index_may_be_text():
    assert cluster.parse(written(("worker", "1"), worker=TWO)).index == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{worker", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "names no cluster"),
        ("[1]", "names no cluster"),
        ('{"cluster": {}}', "names no cluster"),
        (written(worker=TWO, ps=["c:3"]), "other than chief and worker"),
        (written(worker=[]), "must list the addresses of worker"),
        (written(worker="a:1"), "must list the addresses of worker"),
        (written(worker=TWO, chief=["c:3", "d:4"]), "more than one chief"),
        (written(worker=["a"]), "as host:port"),
        (written(worker=["a:0"]), "as host:port"),
        (written(worker=["a:65536"]), "as host:port"),
        (written(worker=["http://a:1"]), "as host:port"),
        (written(worker=[3]), "as host:port"),
        (written(worker=["a:1", "a:1"]), "an address twice"),
        (written(("worker", 2), worker=TWO), "from 0 to 1"),
        (written(("worker", -1), worker=TWO), "from 0 to 1"),
        (written(("worker", None), worker=TWO), "whole number"),
        (written(("worker", True), worker=TWO), "whole number"),
        (written(("evaluator", 0), worker=TWO), "type is worker"),
        (json.dumps({"cluster": {"worker": TWO}}), "type is worker"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(text, told):
    with pytest.raises(UsageError) as error:
        cluster.parse(text)
    message = str(error.value)
    assert told in message
    assert "unset it to train on one machine" in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("strategy", "text", "spans"),
    [
        ("auto", written(worker=TWO), True),
        ("auto", written(worker=["a:1"]), False),
        ("auto", " ", False),
        ("multi_worker", written(worker=["a:1"]), True),
        ("single", written(worker=TWO), False),
        ("mirrored", "no JSON", False),
    ],
)
def test_which_strategy_spans_machines(strategy, text, spans):
    found = cluster.find(strategy, {"TF_CONFIG": text})
    assert (found is not None) == spans
    if not text.strip():
        assert cluster.find(strategy, {}) is None


def test_several_workers_need_to_be_named():
    with pytest.raises(UsageError, match="multi_worker` needs TF_CONFIG"):
        cluster.find("multi_worker", {})

"""What training on several machines costs: arithmetic, and what is counted."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import benchmark_scaling as scaling

ROOT = Path(__file__).parents[2]

STEP = scaling.Step(seconds=0.5, sums=10, num_bytes=10**9, parameters=1)
FAST = scaling.Network(gigabits=16, microseconds=0)
SLOW = scaling.Network(gigabits=16, microseconds=1000)


def test_one_machine_sends_nothing():
    assert scaling.seconds_of_sums(STEP, SLOW, 1) == 0
    assert scaling.efficiency(STEP, SLOW, 1, divided=True) == 1


def test_a_ring_sends_every_byte_twice_but_for_one_share():
    # 8 Gbit through 16 Gbit/s: half a second for each pass around the ring.
    assert scaling.seconds_of_sums(STEP, FAST, 2) == pytest.approx(0.5)
    assert scaling.seconds_of_sums(STEP, FAST, 4) == pytest.approx(0.75)
    assert scaling.seconds_of_sums(STEP, FAST, 10**9) == pytest.approx(1)
    rounds = scaling.seconds_of_sums(STEP, SLOW, 4) - 0.75
    assert rounds == pytest.approx(2 * 3 * 10 * 0.001)


def test_efficiency_is_the_share_of_computing():
    assert scaling.efficiency(STEP, FAST, 2, divided=False) == 0.5
    divided = scaling.efficiency(STEP, FAST, 2, divided=True)
    assert divided == pytest.approx(0.25 / 0.75)


def test_the_table_says_that_it_is_computed():
    table = scaling.computed_table(STEP, [FAST, SLOW], [2, 8])
    head, _, *rows = table.splitlines()
    assert "computed, not measured" in head
    assert len(rows) == 4 and "| 50% " in rows[0]
    measured = scaling.measured_table({("num_devices", 2): STEP})
    assert "1000.00" in measured and "computed" not in measured


PRINT = "import os; print('first'); print(os.environ['NAME'])"
# The last of them fails, and the others would wait for it.
FAIL = """
import os, sys, time
if os.environ["NAME"] == "b":
    sys.exit(1)
time.sleep(600)
"""


def test_processes_run_together_and_one_that_fails_ends_all():
    names = [{"NAME": "a"}, {"NAME": "b"}]
    run = functools.partial(scaling.last_lines, environments=names)
    assert run([sys.executable, "-c", PRINT]) == ["a", "b"]
    assert run([sys.executable, "-c", FAIL]) is None


def test_workers_know_each_other():
    tasks = [json.loads(text) for text in scaling._clusters(3)]
    assert len({str(task["cluster"]) for task in tasks}) == 1
    assert len(set(tasks[0]["cluster"]["worker"])) == 3
    assert [task["task"]["index"] for task in tasks] == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
def test_bytes_are_those_of_the_gradients_and_statistics(replicas):
    settings = {
        "method": "natural",
        "classifier_width": 1 / 16,
        "num_devices": replicas,
    }
    # Collectives of two strategies in one process mistake each other's shapes.
    script = f"""
import json
from experiments import benchmark_scaling as scaling
step = scaling.measure({settings}, 4, 1)
print(json.dumps(step._asdict()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    step = json.loads(done.stdout.splitlines()[-1])
    assert step["seconds"] > 0
    gradients = 4 * step["parameters"]
    if replicas == 1:
        assert (step["sums"], step["num_bytes"]) == (0, 0)
    else:
        assert gradients < step["num_bytes"] < 2 * gradients

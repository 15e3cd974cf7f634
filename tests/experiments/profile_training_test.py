"""A profile counts the operations of a step."""

import json
import sys

from experiments import profile_training as profiling

SETTINGS = {
    "dataset": "cifar10",
    "method": "natural",
    "classifier_width": 1 / 64,
    "batch_size": 4,
    "precision": "float32",
}


def test_each_kind_of_operation_is_counted(monkeypatch, capsys):
    words = ["profile", f"--settings={json.dumps(SETTINGS)}", "--steps=2"]
    monkeypatch.setattr(sys, "argv", words)
    profiling.main()
    said = capsys.readouterr().out
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in said.splitlines()
        if line.startswith("| ")
    ]
    counts = {row[0]: row[3] for row in rows[1:]}
    # The ten convolutions of the network, of which the first needs no
    # gradient of its images.
    assert counts["Conv2DBackpropFilter"] == "10"
    assert counts["Conv2DBackpropInput"] == "9"
    shares = [float(row[2]) for row in rows[1:]]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.5
    assert "convolutions: " in said

"""The README's Python lines in a Jupyter kernel, from top to bottom."""

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the reader of the first lines has already: a model of some kind.
MINE = """
import keras

keras.Sequential(
    [
        keras.Input((16, 16, 3)),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
).save("classifier.keras")
"""
# Data that need no download, and an attack of seconds.
QUICKER = {
    '"cifar10"': '"digits"',
    '["autoattack"]': '["fgsm"]',
    "*test,": "*(part[:40] for part in test),",
}


def blocks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def texts(cell):
    """What a cell printed."""
    return "".join(
        output.get("text", "")
        for output in cell.outputs
        if output.output_type == "stream"
    )


@pytest.mark.slow
def test_the_lines_of_the_readme_run_in_a_notebook(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    kernels = pytest.importorskip("jupyter_client.kernelspec")
    pytest.importorskip("ipykernel")
    measured, hardened = blocks()
    for usual, quick in QUICKER.items():
        measured = measured.replace(usual, quick)
    assert "digits" in measured and "fgsm" in measured
    cells = [MINE, measured, hardened]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )
    # Of this Python, whatever kernels the machine has.
    name = kernels.NATIVE_KERNEL_NAME
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    nbclient.NotebookClient(
        notebook,
        timeout=1800,
        kernel_name=name,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    _, table, training = notebook.cells
    assert "| attack " in texts(table)
    assert "Epoch 5/5" in texts(training)
    assert (tmp_path / "model.keras").is_file()

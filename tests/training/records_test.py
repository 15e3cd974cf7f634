"""metrics.csv, read back."""

import csv

import pytest

from tfgan_robust.errors import TfganRobustError
from tfgan_robust.training.alarms import COMPARED
from tfgan_robust.training.records import MetricsFile

MEASURED = dict.fromkeys(COMPARED, 1 / 3)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_all_rows(tmp_path):
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, 0)
    metrics.append({"epoch": 1.0, "loss": 0.5})
    metrics.append({"epoch": 2.0, "loss": 0.25, **MEASURED})
    metrics.append({"epoch": 3.0, "loss": 0.125})
    first, second, third = read(path)
    assert list(first) == ["epoch", "loss", *COMPARED]
    assert first["val_pgd_accuracy"] == third["val_pgd_accuracy"] == ""
    assert float(second["val_pgd_accuracy"]) == 1 / 3
    assert metrics.measured == [metrics.rows[1]]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_file_read_again_is_the_same(tmp_path):
    path = tmp_path / "metrics.csv"
    written = MetricsFile(path, 0)
    written.append({"epoch": 1.0, "loss": 0.1 + 0.2})
    written.append({"epoch": 2.0, "loss": 1e-300, **MEASURED})
    assert MetricsFile(path, 2).rows == written.rows


def test_epochs_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    killed = MetricsFile(path, 0)
    for epoch in (1.0, 2.0, 3.0):
        killed.append({"epoch": epoch, "loss": epoch})
    resumed = MetricsFile(path, 2)
    resumed.append({"epoch": 3.0, "loss": 30.0})
    assert [row["loss"] for row in read(path)] == ["1.0", "2.0", "30.0"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "epoch,loss\n",
        "a,b\n1,2\n",
        "epoch,loss\n1,0.5\n3,0.4\n",
        "epoch,loss\n2,0.5\n1,0.4\n",
        "epoch,loss\nnan,0.5\n",
        "epoch,loss\n1.5,0.5\n",
        "epoch,loss\n1,0.5,7\n",
        f"epoch,loss\n1,{'9' * 200_000}\n",
        # Of what is measured together, one name is not what it was.
        *(
            f"epoch,{','.join(COMPARED).replace(name, 'other')}\n1,0,0,0,0\n"
            for name in COMPARED
        ),
    ],
    ids=lambda content: content[:30],
)
def test_damaged_rows_are_refused(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content.encode())
    with pytest.raises(TfganRobustError, match="metrics.csv is damaged"):
        MetricsFile(path, 5)


def test_a_file_may_begin_after_the_first_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n3,0.5\n4,0.4\n")
    assert [row["epoch"] for row in MetricsFile(path, 4).rows] == [3, 4]


def test_a_new_run_starts_a_new_file(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path, 0).append({"epoch": 1.0})
    started_over = MetricsFile(path, 0)
    assert started_over.rows == []

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


@pytest.mark.parametrize("name", [*COMPARED, "clean_accuracy"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-7", "-0.5", "1.5"])
def test_shares_are_shares(tmp_path, name, value):
    path = tmp_path / "metrics.csv"
    row = {"epoch": 1.0, "clean_accuracy": 0.5, **MEASURED}
    MetricsFile(path, 0).append({**row, "gradient_norm": float("inf")})
    assert MetricsFile(path, 1).rows
    MetricsFile(path, 0).append({**row, name: float(value)})
    with pytest.raises(TfganRobustError, match=f"{name} is .* epoch 1, and no"):
        MetricsFile(path, 1)


@pytest.fixture
def two_epochs(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv", 0)
    metrics.append({"epoch": 1.0, "loss": 0.5, "images_per_second": 9.0})
    metrics.append({"epoch": 2.0, "loss": 0.1 + 0.2, **MEASURED})
    return tmp_path / "metrics.csv", metrics.digest


def test_the_rows_of_a_checkpoint_are_taken(two_epochs):
    path, digest = two_epochs
    MetricsFile(path, 2).check(2, digest)
    # Of equal runs, all but the timing is equal.
    path.write_text(path.read_text().replace("9.0", "8.0"))
    MetricsFile(path, 2).check(2, digest)
    MetricsFile(path, 2).append({"epoch": 3.0, "loss": 0.2})
    MetricsFile(path, 2).check(2, digest)
    # Checkpoints of earlier versions have no digest.
    MetricsFile(path, 2).check(2, None)
    # Removed, to go on without them.
    path.unlink()
    MetricsFile(path, 2).check(2, digest)
    MetricsFile(path, 2).append({"epoch": 3.0, "loss": 0.2})
    MetricsFile(path, 2).check(2, digest)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("0.5", "0.4"), "saved with other figures"),
        (lambda text: text.replace("0.5", "nan"), "saved with other figures"),
        (lambda text: text.replace("loss", "lass"), "saved with other figures"),
        (
            lambda text: "".join(text.splitlines(keepends=True)[::2]),
            "saved with other figures",
        ),
        (
            lambda text: "".join(text.splitlines(keepends=True)[:2]),
            "it ends with epoch 1 of 2",
        ),
    ],
)
def test_other_rows_than_those_of_the_checkpoint_are_refused(
    two_epochs, change, told
):
    path, digest = two_epochs
    path.write_text(change(path.read_text()))
    with pytest.raises(TfganRobustError, match=f"is damaged: .*{told}"):
        MetricsFile(path, 2).check(2, digest)


def test_rows_that_are_lost_are_missed_without_a_digest_too(two_epochs):
    path, _ = two_epochs
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(TfganRobustError, match="it ends with epoch 1 of 2"):
        MetricsFile(path, 2).check(2, None)


def test_a_file_may_begin_after_the_first_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n3,0.5\n4,0.4\n")
    assert [row["epoch"] for row in MetricsFile(path, 4).rows] == [3, 4]


def test_a_new_run_starts_a_new_file(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path, 0).append({"epoch": 1.0})
    started_over = MetricsFile(path, 0)
    assert started_over.rows == []

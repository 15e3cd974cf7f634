"""Files that are read with care, and names that TensorFlow cannot take."""

import json
import re

import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.files import PATTERNS, check_no_pattern, read_json_object
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.runs.stored import check_configuration
from tfgan_robust.serving.export import ExportSettings, export


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"epochs": 3}), encoding="utf-8-sig")
    assert read_json_object(path) == {"epochs": 3}


@pytest.mark.parametrize(
    "name", ["run", "a b ", "Ünï çode", "10%", "-x", "a.b"]
)
def test_other_names_are_taken(tmp_path, name):
    check_no_pattern("run_dir", tmp_path / name)
    check_configuration(RunDirectory(tmp_path / name), resolve({}))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_refused_wherever_they_stand(tmp_path, pattern):
    for path in (tmp_path / f"a{pattern}b", tmp_path / f"{pattern}" / "run"):
        with pytest.raises(UsageError, match="`run_dir` must not hold any of"):
            check_configuration(RunDirectory(path), resolve({}))
        settings = ExportSettings(run_dir="run", output=str(path))
        with pytest.raises(UsageError, match="`output` must not hold any of"):
            export(settings)
        assert not path.exists()


def test_a_pattern_above_the_working_folder_counts(tmp_path, monkeypatch):
    (tmp_path / "a[1]").mkdir()
    monkeypatch.chdir(tmp_path / "a[1]")
    with pytest.raises(UsageError, match="Received: run."):
        check_no_pattern("run_dir", "run")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"a": NaN}', "NaN, which JSON does not know"),
        (b'{"a": -Infinity}', "-Infinity, which JSON"),
        (b'{"a": {"b": 1, "b": 2}}', "gives 'b' twice"),
        (b'{"a":' * 200_000, "nested too deep"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[1]", "must hold a JSON object"),
        (b"", "not valid JSON"),
    ],
)
def test_only_whole_and_plain_json_is_read(tmp_path, content, told):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(told)):
        read_json_object(path)

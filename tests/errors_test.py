"""Errors, findings and alarms speak of arguments, not of flags."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tfgan_robust

PACKAGE = Path(tfgan_robust.__file__).parent
# These know of flags.
COMMANDS = ("cli/", "compare.py", "evaluate.py", "export.py", "train.py")
# In a sentence; no function has such an argument as --import.
FLAG = re.compile(r"[\s(]--(?!import\b)\w+")


def texts(source: str) -> Iterator[str]:
    """The strings of a file, but for docstrings."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, documented)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in docstrings:
            yield str(node.value)


def test_only_commands_name_flags():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(COMMANDS):
            spoken = texts(path.read_text("utf-8"))
            found[name] = [f for text in spoken for f in FLAG.findall(text)]
    assert len(found) > 100
    assert {name: flags for name, flags in found.items() if flags} == {}

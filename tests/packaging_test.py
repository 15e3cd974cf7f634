"""What setup.py, BUILD and the lock file state against what the code needs."""

import ast
import functools
import graphlib
import importlib.metadata
import re
import runpy
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tfgan_robust.serving.formats import FORMATS

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob("tfgan_robust/**/*.py")
)
TESTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob("tests/**/*_test.py")
)
PACKAGE = "tfgan_robust/__init__.py"
# TensorFlow Datasets imports it without requiring it.
NEEDED_BY_OTHERS = {"importlib-resources"}

Rules = dict[str, dict[str, Any]]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that setup.py hands to setuptools."""
    given: dict[str, Any] = {}
    stand_in = types.SimpleNamespace(
        setup=given.update, find_packages=lambda **_: []
    )
    monkeypatch.setitem(sys.modules, "setuptools", stand_in)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


@pytest.fixture(scope="module")
def rules() -> Rules:
    """Keyword arguments of each BUILD rule, by its name, in file order."""
    found: Rules = {}

    def rule(kind: str) -> Any:
        return lambda **given: found.update(
            {given["name"]: {"kind": kind, "srcs": [], "deps": [], **given}}
        )

    def glob(patterns: list[str], *, allow_empty: bool = False) -> list[str]:
        paths = [path for pattern in patterns for path in ROOT.glob(pattern)]
        # As Bazel has it.
        assert paths or allow_empty, patterns
        return sorted(path.relative_to(ROOT).as_posix() for path in paths)

    kinds = ("py_binary", "py_library", "py_test", "filegroup")
    names = {kind: rule(kind) for kind in kinds}
    ignored = {name: lambda *_, **__: None for name in ("load", "package")}
    # BUILD files are written in Starlark, here within what Python shares.
    exec(
        compile(read("BUILD"), "BUILD", "exec"),
        names | ignored | {"glob": glob},
    )
    return found


def imports(source: str) -> Iterator[str]:
    """Dotted names that a file imports, also within its functions."""
    tree = ast.parse(read(source))
    if source == PACKAGE:
        # Its public names lead everywhere; they are imported on first use.
        tree.body = [node for node in tree.body if not is_for_types(node)]
    yield from imports_below(tree, source)


def is_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )


def imports_below(tree: ast.AST, source: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"relative in {source}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(source: str) -> Iterator[str]:
    """Dotted names that a file has imported later: "package.module:name"."""
    for node in ast.walk(ast.parse(read(source))):
        value = getattr(node, "value", None)
        if isinstance(value, str) and re.fullmatch(
            r"tfgan_robust(\.\w+)+(:\w+)?", value
        ):
            yield value.replace(":", ".")


def own_imports(source: str) -> set[str]:
    """Files of this package that a file imports."""
    return own_files(imports(source))


def own_files(names: Iterable[str]) -> set[str]:
    """Files of this package by the dotted names of what is in them."""
    found = set()
    for name in names:
        # The last part may be a module or something that a module defines.
        for module in (name, name.rpartition(".")[0]):
            path = module.replace(".", "/")
            found |= {f"{path}.py", f"{path}/__init__.py"} & set(SOURCES)
    return found


# Looks into every installed distribution.
distributions = functools.cache(importlib.metadata.packages_distributions)


def third_party(source: str) -> set[str]:
    """Distributions that a file imports from."""
    top_level = {name.partition(".")[0] for name in imports(source)}
    top_level -= {*sys.stdlib_module_names, "tfgan_robust"}
    return {
        canonicalize_name(distributions().get(name, [name])[0])
        for name in top_level
    }


def requirements(lines: list[str]) -> dict[str, Requirement]:
    parsed = map(Requirement, lines)
    return {canonicalize_name(each.name): each for each in parsed}


def label(distribution: str) -> str:
    return "@pypi//" + distribution.replace("-", "_")


def test_python_versions_are_those_that_tensorflow_has_wheels_for(setup):
    supported = Requirement("python" + setup["python_requires"]).specifier
    versions = [f"3.{minor}.1" for minor in range(9, 16)]
    assert list(supported.filter(versions)) == ["3.11.1", "3.12.1", "3.13.1"]


def test_every_requirement_is_used_and_every_import_is_required(setup):
    required = set(requirements(setup["install_requires"]))
    imported = set().union(*map(third_party, SOURCES))
    assert imported <= required
    assert required - imported == NEEDED_BY_OTHERS


def test_every_requirement_has_a_lower_and_an_upper_bound(setup):
    extras = setup["extras_require"].values()
    for line in [*setup["install_requires"], *sum(extras, [])]:
        operators = [each.operator for each in Requirement(line).specifier]
        assert sorted(operators) == ["<", ">="], line


def test_keras_releases_with_unsafe_model_files_are_excluded(setup):
    keras = requirements(setup["install_requires"])["keras"].specifier
    assert "3.13.1" not in keras
    assert "3.15.1" in keras


def test_extras(setup):
    extras = setup["extras_require"]
    assert set(extras) == {"cluster", "export", "gpu", "test", "dev"}
    assert set(extras["cluster"]) < set(extras["dev"])
    assert set(extras["export"]) < set(extras["dev"])
    assert set(extras["test"]) < set(extras["dev"])
    gpu = requirements(extras["gpu"])["tensorflow"]
    required = requirements(setup["install_requires"])["tensorflow"]
    assert gpu.extras == {"and-cuda"}
    assert gpu.specifier == required.specifier


def test_commands_start_a_main_of_the_package(setup):
    commands = setup["entry_points"]["console_scripts"]
    assert len(commands) == 4
    for command in commands:
        module, _, function = command.split(" = ")[1].partition(":")
        tree = ast.parse(read(module.replace(".", "/") + ".py"))
        defined = {
            n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)
        }
        assert not ast.unparse(defined[function].args), command


def test_the_version_is_the_same_everywhere(setup):
    import tfgan_robust

    version = setup["version"]
    assert version == tfgan_robust.__version__
    assert f'version = "{version}"' in read("MODULE.bazel").split(")")[0]
    assert re.search(rf"^## {re.escape(version)}\b", read("CHANGELOG.md"), re.M)


def test_public_names_are_those_that_type_checkers_see():
    import tfgan_robust

    for_types = filter(is_for_types, ast.parse(read(PACKAGE)).body)
    seen = {name for node in for_types for name in imports_below(node, PACKAGE)}
    lazy = {
        f"tfgan_robust.{module}.{name}"
        for name, module in tfgan_robust._MODULES.items()
    }
    assert seen == lazy
    assert set(tfgan_robust.__all__) == {"__version__", *tfgan_robust._MODULES}
    assert dir(tfgan_robust) == sorted(tfgan_robust.__all__)
    assert (ROOT / "tfgan_robust" / "py.typed").exists()


def test_the_lock_pins_every_requirement_within_its_range(setup):
    lock = read("requirements_lock.txt")
    lines = re.findall(r"^[a-z].*$", lock, re.MULTILINE)
    pins = dict(
        re.fullmatch(r"(\S+)==(\S+) \\", line).groups() for line in lines
    )
    extras = setup["extras_require"]
    declared = setup["install_requires"] + extras["test"] + extras["export"]
    for name, requirement in requirements(declared).items():
        assert pins[name] in requirement.specifier
    assert "://" not in lock


def test_each_module_is_in_one_room(rules):
    covered = [
        s for library in libraries(rules).values() for s in library["srcs"]
    ]
    missing = set(SOURCES) - set(covered)
    assert sorted(covered) == SOURCES, f"not in BUILD: {missing}"


def test_each_test_has_a_target(rules):
    targets = [name for name, r in rules.items() if r["kind"] == "py_test"]
    assert [f"{name}.py" for name in targets] == TESTS
    helpers = {f"tests/{path.name}" for path in ROOT.glob("tests/*.py")}
    for name in targets:
        assert rules[name]["args"][0] in rules[name]["srcs"]
        assert helpers - set(TESTS) <= set(rules[name]["srcs"])


def libraries(rules: Rules) -> Rules:
    return {n: r for n, r in rules.items() if r["kind"] == "py_library"}


def test_rooms_import_only_what_lies_below_them(rules):
    below: set[str] = set()
    for name, library in libraries(rules).items():
        deps = {dep[1:] for dep in library["deps"] if dep.startswith(":")}
        assert deps <= below, f"{name} depends on a room that comes later"
        below.add(name)
        reachable = set(library["srcs"]).union(
            *(rules[dep]["srcs"] for dep in deps)
        )
        for source in library["srcs"]:
            used = own_imports(source)
            # The package's own names lead everywhere.
            if source != PACKAGE:
                used |= own_files(named(source))
            assert used <= reachable, f"{source} of {name}"


def test_rooms_name_only_rooms_that_they_import(rules):
    for name, library in libraries(rules).items():
        used = set().union(
            *(
                own_imports(source) | own_files(named(source))
                for source in library["srcs"]
            )
        )
        for dep in library["deps"]:
            if dep.startswith(":"):
                assert used & set(rules[dep[1:]]["srcs"]), f"{name}: {dep}"


def test_each_room_is_a_library(rules):
    rooms = {
        path.parent.name for path in ROOT.glob("tfgan_robust/*/__init__.py")
    }
    assert rooms == set(libraries(rules)) - {"base", "tfgan_robust"}


def test_no_modules_import_each_other():
    """Sorts them, which a circle of imports would make impossible."""
    sorter = graphlib.TopologicalSorter(
        {source: own_imports(source) - {source} for source in SOURCES}
    )
    assert set(sorter.static_order()) == set(SOURCES)


@pytest.mark.parametrize(
    "room", [s for s in SOURCES if s.count("/") > 1 and "__init__" in s]
)
def test_the_init_of_a_room_says_what_it_is_for(room):
    (statement,) = ast.parse(read(room)).body
    assert isinstance(statement, ast.Expr)


def test_rooms_name_the_distributions_that_they_import(rules, setup):
    declared = setup["install_requires"] + setup["extras_require"]["export"]
    known = {label(name) for name in requirements(declared)}
    for name, library in libraries(rules).items():
        imported = set().union(set(), *map(third_party, library["srcs"]))
        external = {d for d in library["deps"] if d.startswith("@")}
        assert {label(each) for each in imported} <= external, name
        assert external <= known, name


def test_serving_names_what_its_formats_load(rules):
    packages = {p for row in FORMATS.values() for p in row.packages}
    needed = {
        canonicalize_name(distributions().get(package, [package])[0])
        for package in packages
    }
    assert needed
    assert set(map(label, needed)) <= set(rules["serving"]["deps"])


def test_the_commands_reach_every_room(rules):
    pending, reached = ["tfgan_robust"], set()
    while pending:
        name = pending.pop()
        reached.add(name)
        pending += [d[1:] for d in rules[name]["deps"] if d.startswith(":")]
    assert reached == set(libraries(rules))

"""The examples in the docstrings of the public names."""

import doctest

import pytest

import tfgan_robust

FINDER = doctest.DocTestFinder()


@pytest.mark.parametrize(
    "name", [n for n in tfgan_robust.__all__ if n[0].isalpha()]
)
def test_every_public_name_has_an_example_that_runs(name):
    public = getattr(tfgan_robust, name)
    module = __import__(public.__module__, fromlist=["_"])
    found = FINDER.find(public, name, globs={**vars(module)})
    examples = [example for example in found if example.examples]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in examples:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0

"""Every public name has an example in its docstring, and every example prints what it says."""

from __future__ import annotations

import doctest
import inspect

import pytest

import spu

WITHOUT = {
    "__version__": "a string",
    "InternalError": "there is no input that raises it on purpose",
    "NgspiceFailed": "there is no input that raises it on purpose",
    "NgspiceMissing": "raised where ngspice is not installed",
    "SimulatorFailed": "there is no input that raises it on purpose",
    "SimulatorMissing": "raised where a simulator is not installed",
    "Report": "what `report` returns, whose example shows it",
}
"""Public names without an example, and why."""


@pytest.mark.parametrize("name", [name for name in spu.__all__ if name not in WITHOUT])
def test_a_public_name_has_an_example(name):
    text = inspect.getdoc(getattr(spu, name)) or ""
    before, heading, examples = text.partition("\nExamples\n--------\n")
    assert heading and ">>> " in examples, f"spu.{name} has no Examples section with a doctest"
    assert before.strip(), f"spu.{name} has examples and no description"


def test_what_has_none_is_still_described():
    assert set(WITHOUT) <= set(spu.__all__)
    for name in WITHOUT:
        text = getattr(spu, name).__doc__
        assert text and ">>>" not in text, f"spu.{name} has an example: it is no exception any more"


@pytest.mark.parametrize("name", ["spu", *(name for name in spu.__all__ if name not in WITHOUT)])
def test_the_examples_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    what = spu if name == "spu" else getattr(spu, name)
    found = doctest.DocTestFinder(recurse=name != "spu").find(what, name, globs={})
    runner, said = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF), []
    for test in found:
        runner.run(test, out=said.append)
    assert runner.tries > 0
    assert not runner.failures, "".join(said)

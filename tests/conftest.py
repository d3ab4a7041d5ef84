"""Test set-up: one BLAS thread, before numpy is imported.

The matrices of the tests are small, several processes run at once (ngspice, the command line), and
BLAS threads that wait for one another on a busy machine make every product tens of times slower.
"""

import os
import signal
from collections import Counter

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of the cases of a test marked ``sampled(k)`` every k-th is in `make test`; the others are long."""
    seen = Counter()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is not None:
            name = (item.path, item.originalname)
            if seen[name] % marker.args[0]:
                item.add_marker(pytest.mark.long)
            seen[name] += 1


@pytest.fixture
def judged(monkeypatch):
    """P-values of the runs' guards, as they come."""
    from spu.emulator.runs.guard import Tests

    found = []
    judge = Tests.judge

    def note(self):
        found.append(self.p)
        judge(self)

    monkeypatch.setattr(Tests, "judge", note)
    return found

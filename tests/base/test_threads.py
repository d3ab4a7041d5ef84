"""BLAS is held to one thread where matrices are small, and let go afterwards."""

import pytest
import scipy.linalg as la
from threadpoolctl import threadpool_info, threadpool_limits

import spu
from spu import Device
from spu.base.threads import SMALL, available_threads, blas_threads_for


def blas_threads() -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_small_and_large():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with blas_threads_for(SMALL):
            assert blas_threads() == {1}
        with blas_threads_for(SMALL + 1):
            assert blas_threads() == before
        assert blas_threads() == before
    assert available_threads() >= 1


@pytest.mark.parametrize("what", ["simulate", "predict"])
def test_small_devices_wake_nobody(what, monkeypatch):
    """While the law of 8 cells is found and drawn from."""
    device = Device()
    for number in range(8):  # scattered: a dense law
        device.add_cell(str(number), capacitance=1e-9 * (1 + number / 10), inductance=1e-6, conductance=1e-3)
    seen = set()

    def watched(inner):
        def call(*args, **options):
            seen.update(blas_threads())
            return inner(*args, **options)

        return call

    for name in ("expm", "solve_triangular", "cholesky", "eigh"):
        monkeypatch.setattr(la, name, watched(getattr(la, name)))
    with threadpool_limits(2, user_api="blas"):
        if what == "simulate":
            spu.simulate(device, samples=200)
        else:
            _ = spu.predict(device).covariance
    assert seen == {1}

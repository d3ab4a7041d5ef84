"""The door into compiled code: every kernel there is, and every array that it takes, laid out wrongly in every way."""

import importlib
import pkgutil
from pathlib import Path
from typing import get_type_hints

import numba
import numpy as np
import pytest
from numba.core import types
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.core.registry import cpu_target

import spu
from spu.base import compiled as door
from spu.base.compiled import KERNELS, ArraySpec, Kernel, address, compiled, floats, inner, output_address
from spu.base.errors import InternalError

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(spu.__path__, "spu.")
    if not found.name.startswith("spu.cli")
]


def test_no_kernel_goes_past_the_door():
    """Whatever Numba compiles was made by `compiled` or `inner`, but for what is inlined and takes numbers."""
    found = {
        f"{module.__name__}.{name}": value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }
    assert {name for name, each in found.items() if each.targetoptions.get("inline") != "always"} == set()
    here = {id(value) for module in MODULES for value in vars(module).values() if isinstance(value, Kernel)}
    assert len(here) == len([kernel for kernel in KERNELS if kernel.name.startswith("spu.")]) > 25


def test_every_array_is_declared():
    """A kernel that Python calls names each argument that is an array: what is not named must not be one."""
    for kernel in KERNELS:
        for name in kernel.arguments if kernel.arrays is not None else ():
            if name in kernel.arrays or name in ("tile", "law", "steps"):
                continue
            args = [None] * len(kernel.arguments)
            args[kernel.arguments.index(name)] = np.zeros(2)
            with pytest.raises(InternalError, match=rf"{name} must be no array|must be"):
                kernel(*args)


def sized(spec: ArraySpec, sizes: dict[str, int]) -> np.ndarray:
    """An array as declared; every name stands for a number of its own."""
    shape = []
    for size in spec.shape:
        name, _, more = str(size).partition("+")
        shape.append(size if isinstance(size, int) else sizes.setdefault(name, 3 + len(sizes)) + int(more or 0))
    return np.zeros(shape, dtype=spec.dtype)


def wrongly_laid(good: np.ndarray, spec: ArraySpec):
    """The same numbers, as a kernel would misread them."""
    if good.ndim > 1:
        yield "order", np.asfortranarray(good)
        yield "order", np.repeat(good, 2, axis=-1)[..., ::2]
    elif len(good) > 1:  # a single entry lies in any order
        yield "order", np.repeat(good, 2)[::2]
        yield "order", good[::-1]
    yield "type", good.astype(np.float32)
    yield "type", good.astype(np.int64 if good.dtype != np.int64 else np.uint64)
    yield "type", good.astype(good.dtype.newbyteorder())
    yield "type", good.tolist()
    yield "type", np.ma.array(good)
    shifted = np.empty(good.nbytes + 1, dtype=np.uint8)[1:].view(good.dtype).reshape(good.shape)
    assert not shifted.flags.aligned
    yield "alignment", shifted
    yield "shape", good[None]
    yield "shape", good[0]
    for axis, size in enumerate(spec.shape):
        if isinstance(size, int):
            yield "shape", np.concatenate([good, good], axis=axis)
    if spec.written:
        fixed = good.copy()
        fixed.flags.writeable = False
        yield "writable", fixed


def arguments(kernel: Kernel, kind: type | None = None):
    """Valid arguments: arrays as declared, numbers for the rest."""
    sizes: dict[str, int] = {}
    module = importlib.import_module(kernel.name.rpartition(".")[0])
    out = []
    for name in kernel.arguments:
        if name in kernel.arrays:
            out.append(sized(kernel.arrays[name], sizes))
        elif name in ("tile", "law") or (name == "steps" and hasattr(module, "Steps")):
            tuples = {"tile": "Tile", "law": "Law" if hasattr(module, "Law") else "_Force", "steps": "Steps"}
            own = kind if name == "law" and kind else getattr(module, tuples[name])
            specs = door._declared[own]
            out.append(own(*(sized(specs[field], sizes) if field in specs else 1 for field in own._fields)))
        else:
            out.append(1)
    return out


CALLED = [
    pytest.param(kernel, kind, id=kernel.name.removeprefix("spu.") + (f"-{kind.__name__}" if kind else ""))
    for kernel in KERNELS
    if kernel.arrays is not None and kernel.name.startswith("spu.")
    for kind in (
        [
            importlib.import_module("spu.emulator.runs.kernels").DenseStep,
            importlib.import_module("spu.emulator.runs.kernels").ModalStep,
        ]
        if kernel.name.endswith(".drive")
        else [None]
    )
]


@pytest.mark.parametrize(("kernel", "kind"), CALLED)
def test_what_is_laid_wrongly_is_refused(kernel, kind, monkeypatch):
    """Every array of every kernel, in every way in which compiled code would misread it."""
    monkeypatch.setattr(kernel, "rule", None)
    reached = []
    monkeypatch.setattr(kernel, "dispatcher", lambda *args: reached.append(args))
    good = arguments(kernel, kind)
    kernel(*good)
    kernel.bind(*good[:2])(*good[2:])
    assert len(reached) == 2
    tried = 0
    for place, (name, value) in enumerate(zip(kernel.arguments, good, strict=True)):
        if isinstance(value, np.ndarray):
            cases = [(name, wrong, kernel.arrays[name]) for _, wrong in wrongly_laid(value, kernel.arrays[name])]
        elif isinstance(value, tuple):
            specs = door._declared[type(value)]
            assert set(specs) == {f for f, hint in get_type_hints(type(value)).items() if hint not in (int, float)}
            cases = [
                (f"{name}.{field}", value._replace(**{field: wrong}), spec)
                for field, spec in specs.items()
                for _, wrong in wrongly_laid(getattr(value, field), spec)
            ]
        else:
            continue
        for full, wrong, spec in cases:
            tried += 1
            with pytest.raises(InternalError) as error:
                kernel(*good[:place], wrong, *good[place + 1 :])
            assert f"{full} must be {spec}"[:-1] in str(error.value)
            bound = kernel.bind(*good[:place])
            with pytest.raises(InternalError):
                bound(wrong, *good[place + 1 :])
    assert tried and len(reached) == 2


@pytest.mark.parametrize(("kernel", "kind"), CALLED)
def test_sizes_that_differ_are_refused(kernel, kind, monkeypatch):
    """A name stands for one size: an array that is longer along it than the others is refused."""
    monkeypatch.setattr(kernel, "rule", None)
    monkeypatch.setattr(kernel, "dispatcher", lambda *args: None)
    good = arguments(kernel, kind)
    specs = []  # place, field, spec
    for place, value in enumerate(good):
        if isinstance(value, tuple):
            specs += [(place, field, spec) for field, spec in door._declared[type(value)].items()]
        elif isinstance(value, np.ndarray):
            specs.append((place, None, kernel.arrays[kernel.arguments[place]]))
    names = [str(size).partition("+")[0] for _, _, spec in specs for size in spec.shape]
    for place, field, spec in specs:
        for axis, size in enumerate(spec.shape):
            name = str(size).partition("+")[0]
            if isinstance(size, int) or names.count(name) == 1:
                continue
            own = good[place] if field is None else getattr(good[place], field)
            longer = np.zeros([n + (k == axis) for k, n in enumerate(own.shape)], dtype=own.dtype)
            wrong = longer if field is None else good[place]._replace(**{field: longer})
            with pytest.raises(InternalError, match="must be"):
                kernel(*good[:place], wrong, *good[place + 1 :])


def test_kernels_for_kernels_cannot_be_called():
    several = [kernel for kernel in KERNELS if kernel.arrays is None and kernel.name.startswith("spu.")]
    assert len(several) > 10
    for kernel in several:
        with pytest.raises(InternalError, match="compiled code only"):
            kernel(*[np.zeros((2, 2))] * len(kernel.arguments))


def test_no_pointer_to_what_it_would_misread():
    """The net below: a pointer to anything but C-ordered doubles does not compile, in kernels of kernels either."""
    read = numba.njit(lambda a: address(a))
    write = numba.njit(lambda a: output_address(a))
    good = np.zeros((3, 4))
    assert read(good) == write(good) == good.ctypes.data
    fixed = good.copy()
    fixed.flags.writeable = False
    assert read(fixed) == fixed.ctypes.data
    for wrong in (
        good.T,
        good[:, ::2],
        good[:, :2],
        good.astype(np.float32),
        good.astype(np.int64),
        good.astype(">f8"),
    ):
        for take in (read, write):
            with pytest.raises((TypingError, numba.core.errors.NumbaError)):
                take(wrong)
    with pytest.raises(TypingError):
        write(fixed)


def test_nothing_takes_a_pointer_by_itself():
    """Sources: ``.ctypes`` and ``carray`` would go past `address`."""
    for module in MODULES:
        text = Path(module.__file__).read_text()
        if "from spu.base.compiled import" in text:
            assert ".ctypes" not in text and "carray" not in text, module.__name__


def test_a_tile_and_a_law_that_do_not_fit():
    """Sizes that no name ties together: `drive` has a rule for them."""
    from spu.emulator.runs import kernels
    from spu.emulator.runs.noise import key_of

    def bound(law, **sizes):
        usual = {"state": 8, "drawn": 4, "path": (4, 16), "observed": 2, "width": 16, "chunk": 4, "lags": 1}
        tile = kernels.new_tile((0, 0, 1, 0, 1), kept=(16, 0), **usual | sizes)
        return kernels.drive.bind(kernels.blas_addresses(), tile, law, key_of(0))

    dense = kernels.DenseStep(np.zeros((4, 7)), np.zeros((2, 4)), 4)
    bound(dense)
    bound(dense, observed=0)
    bound(dense, width=1, path=(4, 1))
    for wrong in (
        {"state": 7},
        {"path": (4, 8)},
        {"path": (5, 16)},
        {"observed": 3},
        {"width": 12, "path": (4, 12)},
        {"width": 1, "path": (4, 1), "drawn": 3},
    ):
        with pytest.raises(InternalError, match=r"does not fit a tile|columns"):
            bound(dense, **wrong)
    with pytest.raises(InternalError):
        bound(dense._replace(carried=3))
    modal = kernels.ModalStep(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), 1)
    sizes = {"state": 4, "drawn": 0, "path": (4, 64)}
    bound(modal, **sizes)
    for wrong in ({"state": 6}, {"path": (4, 63)}, {"path": (3, 64)}, {"observed": 4}):
        with pytest.raises(InternalError):
            bound(modal, **sizes | wrong)


def test_declarations_that_are_wrong():
    with pytest.raises(TypeError, match="no argument y"):
        compiled(y=floats("n"))(lambda x: x)
    KERNELS[:] = [kernel for kernel in KERNELS if kernel.name.startswith("spu.")]


def test_kernels_call_kernels():
    """By name, as functions do."""
    twice = inner(double)
    KERNELS.remove(twice)
    globals()["twice"] = twice
    outer = compiled(x=floats("n", written=True))(each)
    KERNELS.remove(outer)
    x = np.ones(3)
    outer(x)
    assert (x == 2).all()


def test_a_kernel_is_compiled_once():
    """Not again for each number or truth value that a call has in it."""
    kernel = inner(shifted)
    KERNELS.remove(kernel)
    for by, back in ((types.literal(8), types.literal(True)), (types.literal(3), types.literal(False))):
        call = numba.typeof(kernel).get_call_type(cpu_target.typing_context, (types.float64, by, back), {})
        assert call.args == (types.float64, types.int64, types.boolean)
    assert len(kernel.dispatcher.signatures) == 1


def shifted(x, by, back):
    return x - by if back else x + by


def double(x):
    return 2 * x


def each(x):
    for i in range(len(x)):
        x[i] = twice(x[i])  # noqa: F821 - a global that the test makes

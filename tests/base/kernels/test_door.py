"""The door into compiled code: every kernel there is, and every array that it takes, laid out wrongly in every way."""

import ctypes
import hashlib
import importlib
import pkgutil
import re
from typing import NamedTuple, get_type_hints

import numpy as np
import pytest

import spu
from spu.base.errors import InternalError
from spu.base.kernels import door, library
from spu.base.kernels.door import FORMATS, KERNELS, ArraySpec, Kernel, aligned, declare, floats, integers, reals

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(spu.__path__, "spu.")
    if not found.name.startswith("spu.cli")
]

SOURCES = "".join(path.read_text() for path in sorted((library.HERE.parent / "c").iterdir()))


def test_the_libraries_are_of_these_sources():
    """Whoever edits a source and does not build tests the old one."""
    files = sorted((library.HERE.parent / "c").iterdir())
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]  # as setup.py
    for name in library.CLASSES:
        if (path := library.path_of(name)) is not None:
            built = ctypes.CDLL(str(path))
            assert library.text("built_from", built) == wanted, f"{name}: python setup.py build_ext --inplace"
            assert library.text("processor_class", built) == name


def test_every_function_shown_has_a_door():
    """What C shows, Python declares; and the other way round."""
    shown = set(re.findall(r"KERNEL\(void, (?:N\()?(\w+)\)?, \(", SOURCES))
    declared = {kernel.name.removesuffix("_double").removesuffix("_single") for kernel in KERNELS}
    assert shown == declared and len(shown) > 12


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_declarations_are_those_of_c(kernel):
    assert kernel.function is not None


def test_a_declaration_that_drifted_is_refused():
    """An argument more, another type, other sizes, a field that is missing: no call is made."""
    good = {"words": door.words("n"), "first": floats("n", written=True), "second": floats("n", written=True)}
    wrong = [
        {**good, "third": int},
        {**good, "second": floats("n")},
        {**good, "second": floats("m", written=True)},
        {**good, "second": integers("n", written=True)},
        {"first": good["first"], "words": good["words"], "second": good["second"]},
    ]
    for arguments in wrong:
        kernel = Kernel("normal_pairs", **arguments)
        KERNELS.remove(kernel)
        with pytest.raises(InternalError, match="not of this version"):
            _ = kernel.function
    kernel = Kernel("no_such_loop", n=int)
    KERNELS.remove(kernel)
    with pytest.raises(InternalError, match="is nothing"):
        _ = kernel.function

    class Force(NamedTuple):
        stiffness: np.ndarray
        field: np.ndarray

    globals()["Force"] = Force
    declare(Force, stiffness=floats("n", "n"), field=floats("n"))
    known = next(each for each in KERNELS if each.name == "respond_first_order")
    kernel = Kernel("respond_first_order", **{**known.arguments, "law": Force})
    KERNELS.remove(kernel)
    with pytest.raises(InternalError, match="Force is"):
        _ = kernel.function


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
    yield "type", good.astype(np.float32 if good.dtype != np.float32 else np.float64)
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


def tuple_of(struct, kind: type, sizes: dict[str, int]):
    """A valid named tuple; numbers that sizes are named after come first."""
    for size in struct.given:
        sizes.setdefault(size, 3 + len(sizes))
    hints = get_type_hints(kind)
    return kind(
        *(
            sized(struct.arrays[field], sizes)
            if field in struct.arrays
            else tuple_of(struct.parts[field], hints[field], {})
            if field in struct.parts
            else sizes.get(field, 1)
            for field in struct.fields
        )
    )


def arguments(kernel: Kernel):
    """Valid arguments: arrays as declared, numbers for the rest."""
    sizes: dict[str, int] = {}
    return [
        sized(kind, sizes)
        if isinstance(kind, ArraySpec)
        else tuple_of(kernel.structs[name], kind, sizes)
        if name in kernel.structs
        else 1
        for name, kind in kernel.arguments.items()
    ]


def without_code(kernel: Kernel, monkeypatch) -> list:
    """Do not run the loop, only see what reaches it."""
    reached = []
    monkeypatch.setattr(kernel, "rule", None)
    monkeypatch.setitem(kernel.__dict__, "function", lambda *args: reached.append(args))
    return reached


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_what_is_laid_wrongly_is_refused(kernel, monkeypatch):
    """Every array of every kernel, in every way in which compiled code would misread it."""
    reached = without_code(kernel, monkeypatch)
    good = arguments(kernel)
    kernel(*good)
    kernel.bind(*good[:2])(*good[2:])
    assert len(reached) == 2 and len(reached[0]) == len(reached[1]) == len(good) + len(kernel.sizes)
    tried = 0
    for place, (name, value) in enumerate(zip(kernel.arguments, good, strict=True)):
        cases = []
        if isinstance(value, np.ndarray):
            spec = kernel.arrays[name]
            cases = [(name, wrong, spec) for _, wrong in wrongly_laid(value, spec)]
        elif isinstance(value, tuple):
            struct = kernel.structs[name]
            cases = [
                (f"{name}.{field}", value._replace(**{field: wrong}), spec)
                for field, spec in struct.arrays.items()
                for _, wrong in wrongly_laid(getattr(value, field), spec)
            ]
            cases += [
                (f"{name}.{part}.{field}", value._replace(**{part: own._replace(**{field: wrong})}), spec)
                for part, inner in struct.parts.items()
                for own in [getattr(value, part)]
                for field, spec in inner.arrays.items()
                for _, wrong in wrongly_laid(getattr(own, field), spec)
            ]
        else:
            cases = [(name, np.zeros(2), None)]
        for full, wrong, spec in cases:
            tried += 1
            with pytest.raises(InternalError) as error:
                kernel(*good[:place], wrong, *good[place + 1 :])
            assert f"{full} must be {'no array' if spec is None else spec}"[:-1] in str(error.value)
            bound = kernel.bind(*good[:place])
            with pytest.raises(InternalError):
                bound(wrong, *good[place + 1 :])
    assert tried and len(reached) == 2


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_sizes_that_differ_are_refused(kernel, monkeypatch):
    """A name stands for one size: an array that is longer along it than the others is refused."""
    reached = without_code(kernel, monkeypatch)
    good = arguments(kernel)
    specs = []  # place, field, spec
    for place, (name, value) in enumerate(zip(kernel.arguments, good, strict=True)):
        if isinstance(value, tuple):
            specs += [(place, field, spec) for field, spec in kernel.structs[name].arrays.items()]
            specs += [(place, None, size) for size in kernel.structs[name].given]
        elif isinstance(value, np.ndarray):
            specs.append((place, None, kernel.arrays[name]))
    names = [name for _, _, spec in specs for name in ([spec] if isinstance(spec, str) else spec.names)]
    for place, field, spec in specs:
        if isinstance(spec, str):  # a number that a size is named after
            wrong = good[place]._replace(**{spec: getattr(good[place], spec) + 1})
            with pytest.raises(InternalError):
                kernel(*good[:place], wrong, *good[place + 1 :])
            continue
        for axis, size in enumerate(spec.shape):
            if isinstance(size, int) or names.count(size.partition("+")[0]) == 1:
                continue
            own = good[place] if field is None else getattr(good[place], field)
            longer = np.zeros([n + (k == axis) for k, n in enumerate(own.shape)], dtype=own.dtype)
            wrong = longer if field is None else good[place]._replace(**{field: longer})
            with pytest.raises(InternalError, match="must be"):
                kernel(*good[:place], wrong, *good[place + 1 :])
    assert not reached


def test_numbers_are_numbers(monkeypatch):
    """A fraction is no count; what is not a number is none."""
    kernel = next(each for each in KERNELS if each.name == "drive_modal")
    without_code(kernel, monkeypatch)
    good = arguments(kernel)
    for wrong in (1.5, np.float64(2), "1", None, [1]):
        with pytest.raises(InternalError, match="first must be"):
            kernel(*good[:3], wrong, *good[4:])
    with pytest.raises(TypeError):
        kernel.bind(*good[:3])(1)


def test_what_is_bound_stays_in_memory():
    """The pointers of a bound call outlive the names of its arrays."""
    fill = next(each for each in KERNELS if each.name == "fill_normals")
    out = np.zeros((4, 20_000))

    def bound():
        key, steps = np.array([1, 2], dtype=np.uint64), np.arange(20_000, dtype=np.uint64)
        return fill.bind(out, np.uint64(0), key, steps)

    call = bound()
    rubbish = [np.full(20_000, 77, dtype=np.uint64) for _ in range(50)]
    call(np.zeros(20_000, dtype=np.uint64))
    found = out.copy()
    fill(out, np.uint64(0), np.array([1, 2], dtype=np.uint64), np.arange(20_000, dtype=np.uint64), 0 * rubbish[0])
    assert (found == out).all()


def test_aligned():
    for shape in ((3, 5), (1,), (0, 4), (7, 2, 3)):
        for kind in FORMATS.values():
            array = aligned(shape, kind)
            assert array.shape == shape and array.dtype == kind and not array.any()
            assert not array.size or array.ctypes.data % door.CACHE_LINE == 0
            assert array.flags.c_contiguous and array.flags.aligned and array.flags.writeable


def test_declarations_that_are_wrong():
    class Partial(NamedTuple):
        x: np.ndarray
        y: np.ndarray

    globals()["Partial"] = Partial
    declare(Partial, x=floats("n"))
    kernel = Kernel("k", law=Partial)
    KERNELS.remove(kernel)
    with pytest.raises(TypeError, match="y not declared"):
        _ = kernel.structs
    with pytest.raises(TypeError, match="which format"):
        Kernel("k", x=reals("n"))


def test_a_tile_and_a_law_that_do_not_fit():
    """Sizes that no name ties together: the drives have a rule for them."""
    from spu.emulator.runs import kernels
    from spu.emulator.runs.noise import key_of

    def bound(law, **sizes):
        usual = {"rows": 8, "drawn": 4, "observed": 2, "width": 16, "chunk": 4, "lags": 1}
        tile = kernels.new_tile((0, 0, 1, 0, 1), kept=(16, 0), **usual | sizes)
        drive = kernels.drive_modal if isinstance(law, kernels.ModalStep) else kernels.drive_dense["double"]
        return drive.bind(tile, law, key_of(0))

    dense = kernels.packed(kernels.DenseStep(np.ones((4, 7)), np.ones((2, 4)), 4))
    bound(dense)
    bound(dense, observed=0)
    bound(dense, width=1)
    bound(dense, width=33)
    for wrong in ({"rows": 7}, {"observed": 3}, {"width": 1, "drawn": 0}):
        with pytest.raises(InternalError, match="does not fit a tile"):
            bound(dense, **wrong)
    for wrong in ({"carried": 3}, {"states": 5}, {"drawn": 1}, {"observe": dense.matrix}):
        with pytest.raises(InternalError, match="does not fit a tile"):
            bound(dense._replace(**wrong))
    modal = kernels.ModalStep(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), 1)
    bound(modal, rows=4, drawn=0)
    for wrong in ({"rows": 3}, {"observed": 4}):
        with pytest.raises(InternalError, match="does not fit a tile"):
            bound(modal, **{"rows": 4, "drawn": 0} | wrong)
    tile = kernels.new_tile((0, 0, 1, 0, 1), kept=(16, 0), rows=8, drawn=4, observed=2, width=16, chunk=4, lags=1)
    for wrong in ({"width": 17}, {"width": 0}, {"chunk": 5}, {"chunk": 0}):
        with pytest.raises(InternalError):
            kernels.drive_dense["double"].bind(tile._replace(**wrong), dense, key_of(0))


def test_messages():
    """What was wanted, what was found."""
    fill = next(each for each in KERNELS if each.name == "fill_normals")
    key = np.zeros(2, dtype=np.uint64)
    with pytest.raises(InternalError, match=re.escape("Fortran-ordered float64 of shape (4, 3)")):
        fill(np.asfortranarray(np.zeros((4, 3))), 0, key, np.zeros(3, dtype=np.uint64), np.zeros(3, dtype=np.uint64))
    with pytest.raises(InternalError, match=re.escape("of shape (n,) (rows = 4, n = 3), not")):
        fill(np.zeros((4, 3)), 0, key, np.zeros(4, dtype=np.uint64), np.zeros(3, dtype=np.uint64))

"""The one door into compiled code: kernels declare what their arrays have to be, and it is checked at the door.

A compiled loop reads memory as its author thought of it. An array of another order, type, alignment or size is not an
error there but other numbers. So

- a kernel is called only through a `Kernel`, which declares its arguments (`floats`, `integers`, `words`, ...; those
  of a named tuple by `declare`) and refuses what is not as declared. `Kernel.bind` checks once what stays, so that a
  step costs nothing;
- the declaration is compared with the text of the C function's own (``c/kernels.h``), so that the two cannot drift
  apart, and a library older than its sources is noticed;
- the sizes that a declaration names are handed to the function by the door, behind its arguments.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import prod
from typing import Any, Literal, get_type_hints

import numpy as np

from spu.base.errors import InternalError
from spu.base.kernels.library import library, text

Size = int | str
"""Of a dimension: a number, or a name that stands for the same number wherever a call has it; ``n+1`` for one more."""

Precision = Literal["double", "single"]
"""A number format; kernels that are made for both carry it in their name."""

FORMATS: dict[Precision, np.dtype[Any]] = {"double": np.dtype(np.float64), "single": np.dtype(np.float32)}

_C_NAMES = {"float64": "double", "float32": "float", "int64": "int64_t", "int32": "int32_t", "uint64": "uint64_t"}

CACHE_LINE = 64
"""Bytes: where arrays that a loop runs through best begin."""


@dataclass(frozen=True)
class ArraySpec:
    """What an array handed to a kernel must be: C-ordered and aligned, of this type and shape.

    Attributes
    ----------
    dtype:
        Of its entries; None for numbers of the kernel's own format (`reals`).
    shape:
        A `Size` for each dimension.
    written:
        Whether the kernel writes into it.
    """

    dtype: np.dtype[Any] | None
    shape: tuple[Size, ...]
    written: bool = False

    def of(self, precision: Precision | None) -> ArraySpec:
        """The same in a number format."""
        if self.dtype is not None:
            return self
        if precision is None:
            raise TypeError("reals: in which format?")
        return replace(self, dtype=FORMATS[precision])

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape)) + ("," if len(self.shape) == 1 else "")
        return f"C-ordered, aligned{', writable' if self.written else ''} {self.dtype} of shape ({shape})"

    @property
    def c(self) -> str:
        """The pointer that C takes."""
        assert self.dtype is not None
        return f"{'' if self.written else 'const '}{_C_NAMES[self.dtype.name]} *"

    @property
    def names(self) -> list[str]:
        """Of its sizes."""
        return [size.partition("+")[0] for size in self.shape if isinstance(size, str)]

    def admits(self, array: Any, sizes: dict[str, int]) -> bool:
        """Whether an array is as declared; names of sizes that are not known yet are learnt."""
        if type(array) is not np.ndarray or array.dtype != self.dtype or array.ndim != len(self.shape):
            return False
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and (flags.writeable or not self.written)):
            return False
        for found, size in zip(array.shape, self.shape, strict=True):
            if isinstance(size, int):
                if found != size:
                    return False
                continue
            name, _, more = size.partition("+")
            own = found - int(more or 0)
            if own < 0 or sizes.setdefault(name, own) != own:
                return False
        return True


def reals(*shape: Size, written: bool = False) -> ArraySpec:
    """Numbers of the format that a kernel is made for."""
    return ArraySpec(None, shape, written)


def floats(*shape: Size, written: bool = False) -> ArraySpec:
    """Doubles."""
    return ArraySpec(np.dtype(np.float64), shape, written)


def integers(*shape: Size, written: bool = False) -> ArraySpec:
    """Signed integers of 64 bits."""
    return ArraySpec(np.dtype(np.int64), shape, written)


def indices(*shape: Size, written: bool = False) -> ArraySpec:
    """Signed integers of 32 bits."""
    return ArraySpec(np.dtype(np.int32), shape, written)


def words(*shape: Size, written: bool = False) -> ArraySpec:
    """Unsigned integers of 64 bits."""
    return ArraySpec(np.dtype(np.uint64), shape, written)


def aligned(shape: tuple[int, ...], dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """An array of zeros that begins where a cache line does: vectors read from it faster."""
    kind = np.dtype(dtype)
    room = np.zeros(prod(shape) * kind.itemsize + CACHE_LINE, dtype=np.uint8)
    first = -room.ctypes.data % CACHE_LINE
    return room[first : first + room.size - CACHE_LINE].view(kind).reshape(shape)


_SCALARS: dict[type, tuple[str, Any]] = {
    int: ("int64_t ", ctypes.c_int64),
    float: ("double ", ctypes.c_double),
    np.uint64: ("uint64_t ", ctypes.c_uint64),
}
"""Numbers that a kernel takes: how C calls them, and what ctypes makes of them."""


class _Struct:
    """A named tuple as C sees it: its fields in order, and then the sizes of its arrays that are not among them."""

    def __init__(self, kind: type, precision: Precision | None) -> None:
        name, arrays = _declared[kind]
        hints = get_type_hints(kind)
        self.fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
        self.parts: dict[str, _Struct] = {
            each: _struct(hints[each], precision) for each in self.fields if hints[each] in _declared
        }
        self.generic: bool = any(spec.dtype is None for spec in arrays.values()) or any(
            part.generic for part in self.parts.values()
        )
        self.name = f"{name}_{precision}" if self.generic else name
        self.arrays = {each: spec.of(precision) for each, spec in arrays.items()}
        arrays = self.arrays
        scalars = {field: hints[field] for field in self.fields if hints[field] in _SCALARS}
        missing = [
            each for each in self.fields if each not in arrays and each not in scalars and each not in self.parts
        ]
        if missing:
            raise TypeError(f"{kind.__name__}: {', '.join(missing)} not declared")
        named: dict[str, None] = dict.fromkeys(size for spec in arrays.values() for size in spec.names)
        self.given = [size for size in named if size in scalars]
        self.sizes = [size for size in named if size not in scalars]
        members: list[tuple[str, Any]] = []
        words = []
        for field in self.fields:
            if field in arrays:
                members.append((field, ctypes.c_void_p))
                words.append(f"{arrays[field].c}{field};")
            elif field in self.parts:
                members.append((field, self.parts[field].type))
                words.append(f"{self.parts[field].name} {field};")
            else:
                members.append((field, _SCALARS[scalars[field]][1]))
                words.append(f"{_SCALARS[scalars[field]][0]}{field};")
        members += [(size, ctypes.c_int64) for size in self.sizes]
        words += [f"int64_t {size};" for size in self.sizes]
        self.declaration = " ".join(words)
        self.type: type[ctypes.Structure] = type(self.name, (ctypes.Structure,), {"_fields_": members})

    def fill(self, value: Any, sizes: dict[str, int]) -> ctypes.Structure:
        """The structure of a tuple whose arrays were admitted with these sizes."""
        found = self.type()
        for field, part in zip(self.fields, value, strict=True):
            if field in self.parts:
                setattr(found, field, self.parts[field].fill(part, sizes_of(self.parts[field], part)))
            else:
                setattr(found, field, part.ctypes.data if field in self.arrays else part)
        for size in self.sizes:
            setattr(found, size, sizes[size])
        return found


def sizes_of(struct: _Struct, value: Any) -> dict[str, int]:
    """The sizes that a tuple's own arrays have."""
    sizes: dict[str, int] = {}
    for field, part in zip(struct.fields, value, strict=True):
        if field in struct.arrays:
            struct.arrays[field].admits(part, sizes)
    return sizes


_declared: dict[Any, tuple[str, dict[str, ArraySpec]]] = {}
"""What is declared of each named tuple that kernels take: C's name for it, and its arrays."""


def declare(kind: type, **arrays: ArraySpec) -> None:
    """Declare the arrays of a named tuple, C's structure of that name; every field that is an array is among them.

    Other fields are numbers, or named tuples declared before, whose sizes are their own. A number that a size is
    named after has to be that size. A structure with `reals` is C's ``Name_double`` or ``Name_single``.
    """
    _declared[kind] = (kind.__name__.lstrip("_"), arrays)


@cache
def _struct(kind: type, precision: Precision | None) -> _Struct:
    return _Struct(kind, precision)


KERNELS: list[Kernel] = []
"""All kernels, in the order in which they were made."""


class Kernel:
    """A compiled function and what its arguments have to be.

    Parameters
    ----------
    name:
        Of the function in C, without its number format.
    precision:
        Its number format, where it is made for both.
    rule:
        Given the first arguments, says in words what else is wrong between them, or None.
    **arguments:
        In their order: an `ArraySpec`; a named tuple that was declared; ``int``, ``float`` or ``np.uint64``.
    """

    def __init__(
        self,
        name: str,
        precision: Precision | None = None,
        rule: Callable[..., str | None] | None = None,
        **arguments: Any,
    ) -> None:
        self.name = name if precision is None else f"{name}_{precision}"
        self.precision, self.rule = precision, rule
        self.arguments = {
            each: kind.of(precision) if isinstance(kind, ArraySpec) else kind for each, kind in arguments.items()
        }
        KERNELS.append(self)

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        """The arguments that are arrays."""
        return {name: spec for name, spec in self.arguments.items() if isinstance(spec, ArraySpec)}

    @cached_property
    def structs(self) -> dict[str, _Struct]:
        """The arguments that are named tuples."""
        return {
            name: _struct(kind, self.precision or "double")
            for name, kind in self.arguments.items()
            if kind in _declared
        }

    @cached_property
    def sizes(self) -> list[str]:
        """Names of the sizes of its own arrays, in the order in which C takes them behind the arguments."""
        return list(dict.fromkeys(size for spec in self.arrays.values() for size in spec.names))

    @property
    def declaration(self) -> str:
        """As C declares it."""
        words = []
        for name, kind in self.arguments.items():
            if isinstance(kind, ArraySpec):
                words.append(f"{kind.c}{name}")
            elif name in self.structs:
                words.append(f"const {self.structs[name].name} *{name}")
            else:
                words.append(f"{_SCALARS[kind][0]}{name}")
        return f"void ({', '.join([*words, *(f'int64_t {size}' for size in self.sizes)])})"

    @cached_property
    def function(self) -> Any:
        """The function, once its own declarations are seen to be these.

        Raises
        ------
        InternalError
            If they are not: the library was built from other sources.
        """
        structs = set(self.structs.values())
        structs |= {part for struct in structs for part in struct.parts.values()}
        wanted = {self.name: self.declaration, **{struct.name: struct.declaration for struct in structs}}
        for name, own in wanted.items():
            try:
                found = _plain(text(f"{name}_declared"))
            except ValueError:
                found = "nothing"
            if found != _plain(own):
                raise InternalError(f"the compiled loops are not of this version: {name} is {found}, not {_plain(own)}")
        function = getattr(library(), self.name)
        function.restype = None
        return function

    def __call__(self, *args: Any) -> None:
        """Check all arguments and run.

        Raises
        ------
        InternalError
            If one is not what the kernel declares.
        """
        self.bind(*args)()

    def bind(self, *args: Any) -> Callable[..., None]:
        """Check the first arguments now; the function returned takes the others, which are checked at each call.

        Raises
        ------
        InternalError
            If one is not what the kernel declares.
        """
        sizes: dict[str, int] = {}
        first = self._taken(args, sizes, 0)
        wrong = self.rule(*args) if self.rule is not None else None
        if wrong is not None:
            raise InternalError(f"kernel {self.name}: {wrong}")
        function, total, done = self.function, len(self.arguments), len(args)
        if done == total:
            last = [ctypes.c_int64(sizes[size]) for size in self.sizes]

            def run(_kept: object = args) -> None:  # whose memory the pointers show
                function(*first, *last)

            return run

        def call(*rest: Any, _kept: object = args) -> None:
            if len(rest) != total - done:
                raise TypeError(f"{self.name} takes {total} arguments, not {done + len(rest)}")
            known = dict(sizes)
            more = self._taken(rest, known, done)
            function(*first, *more, *(ctypes.c_int64(known[size]) for size in self.sizes))

        return call

    def _taken(self, args: tuple[Any, ...], sizes: dict[str, int], first: int) -> list[Any]:
        """Arguments from number ``first`` on as ctypes takes them; refuses what is not as declared."""
        found: list[Any] = []
        for name, value in zip(list(self.arguments)[first:], args, strict=False):
            kind = self.arguments[name]
            if isinstance(kind, ArraySpec):
                if not kind.admits(value, sizes):
                    self._refuse(name, kind, value, sizes)
                found.append(ctypes.c_void_p(value.ctypes.data))
            elif name in self.structs:
                struct = self.structs[name]
                self._admit(name, struct, kind, value, sizes)
                found.append(ctypes.byref(struct.fill(value, sizes)))
            elif isinstance(value, bool | int | np.integer | float | np.floating) and (
                kind is float or not isinstance(value, float | np.floating)
            ):
                found.append(_SCALARS[kind][1](float(value) if kind is float else int(value)))
            else:
                self._refuse(name, None, value, sizes)
        return found

    def _admit(self, name: str, struct: _Struct, kind: type, value: Any, sizes: dict[str, int]) -> None:
        if type(value) is not kind:
            self._refuse(name, None, value, sizes)
        for size in struct.given:
            if sizes.setdefault(size, getattr(value, size)) != getattr(value, size):
                raise InternalError(f"kernel {self.name}: {name}.{size} is {getattr(value, size)}, not {sizes[size]}")
        for field, part in zip(struct.fields, value, strict=True):
            if field in struct.parts:  # its sizes are its own
                self._admit(f"{name}.{field}", struct.parts[field], type(part), part, {})
            elif field in struct.arrays:
                if not struct.arrays[field].admits(part, sizes):
                    self._refuse(f"{name}.{field}", struct.arrays[field], part, sizes)
            elif isinstance(part, np.ndarray):
                self._refuse(f"{name}.{field}", None, part, sizes)

    def _refuse(self, name: str, spec: ArraySpec | None, value: Any, sizes: dict[str, int]) -> None:
        if not isinstance(value, np.ndarray):
            found = f"a {type(value).__name__}"
        else:
            flags = value.flags
            order = "C-ordered" if flags.c_contiguous else "Fortran-ordered" if flags.f_contiguous else "scattered"
            others = "" if flags.aligned else ", unaligned"
            others += "" if flags.writeable else ", read-only"
            found = f"{order}{others} {value.dtype} of shape {value.shape}"
        known = ", ".join(f"{key} = {size}" for key, size in sizes.items())
        wanted = "no array" if spec is None else f"{spec}{f' ({known})' if known else ''}"
        raise InternalError(f"kernel {self.name}: {name} must be {wanted}, not {found}")


def _plain(declaration: str) -> str:
    """A declaration without what is only a matter of style."""
    return re.sub(r"\s*([*;,(){}])\s*", r"\1", re.sub(r"\s+", " ", declaration)).strip()

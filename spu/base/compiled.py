"""The one door into compiled code: kernels declare what their arrays have to be, and it is checked at the door.

A compiled loop reads memory as its author thought of it. An array of another order, type, alignment or size is not an
error there but other numbers. So every kernel is made by `compiled`:

- one that Python may call declares its arrays (`floats`, `integers`, `words`; those of a named tuple by `declare`), and
  refuses what is not as declared. `Kernel.bind` checks once what stays, so that a step costs nothing;
- one that declares none is for other kernels only: Python cannot call it;
- a pointer is taken only by `address` and `output_address`, which do not compile for anything but C-ordered, aligned
  doubles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np
from numba import njit, types
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.extending import overload, register_model, typeof_impl

from spu.base.errors import InternalError

Size = int | str
"""Of a dimension: a number, or a name that stands for the same number wherever a call has it; ``n+1`` for one more."""


@dataclass(frozen=True)
class ArraySpec:
    """What an array handed to a kernel must be: C-ordered and aligned, of this type and shape.

    Attributes
    ----------
    dtype:
        Of its entries.
    shape:
        A `Size` for each dimension.
    written:
        Whether the kernel writes into it.
    """

    dtype: np.dtype[Any]
    shape: tuple[Size, ...]
    written: bool = False

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape)) + ("," if len(self.shape) == 1 else "")
        return f"C-ordered, aligned{', writable' if self.written else ''} {self.dtype} of shape ({shape})"

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


def floats(*shape: Size, written: bool = False) -> ArraySpec:
    """Doubles."""
    return ArraySpec(np.dtype(np.float64), shape, written)


def integers(*shape: Size, written: bool = False) -> ArraySpec:
    """Signed integers of 64 bits."""
    return ArraySpec(np.dtype(np.int64), shape, written)


def words(*shape: Size, written: bool = False) -> ArraySpec:
    """Unsigned integers of 64 bits."""
    return ArraySpec(np.dtype(np.uint64), shape, written)


_declared: dict[type, dict[str, ArraySpec]] = {}
"""The arrays of each named tuple that kernels take."""


def declare(kind: type, **arrays: ArraySpec) -> None:
    """Declare the arrays of a named tuple; every field that is an array has to be among them."""
    hints = get_type_hints(kind)
    missing = [name for name in kind._fields if hints[name] not in (int, float) and name not in arrays]  # type: ignore[attr-defined]
    if missing:
        raise TypeError(f"{kind.__name__}: {', '.join(missing)} not declared")
    _declared[kind] = arrays


KERNELS: list[Kernel] = []
"""All kernels, in the order in which they were made."""


class Kernel:
    """A compiled function and what its arrays have to be; made by `compiled`.

    Attributes
    ----------
    dispatcher:
        Numba's. Other kernels call it under the kernel's own name.
    name:
        Module and name.
    arrays:
        By argument; None for a kernel that only kernels call. A named tuple has its own (`declare`).
    rule:
        Given the first arguments, says in words what else is wrong between them, or None.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arrays: dict[str, ArraySpec] | None,
        rule: Callable[..., str | None] | None = None,
    ) -> None:
        # A door for Python only where it may call: one that unpacks dozens of arrays compiles longer than a loop.
        closed = arrays is None
        doors: dict[str, Any] = {"no_cpython_wrapper": closed, "no_cfunc_wrapper": True}
        self.dispatcher = njit(nogil=True, cache=True, error_model="numpy", **doors)(function)
        self.rule = rule
        self.name = f"{function.__module__}.{function.__qualname__}"
        code = function.__code__
        self.arguments = code.co_varnames[: code.co_argcount]
        self.arrays = arrays
        self.__doc__ = function.__doc__
        unknown = set(arrays or {}) - set(self.arguments)
        if unknown:
            raise TypeError(f"{self.name} has no argument {', '.join(sorted(unknown))}")
        KERNELS.append(self)

    def __call__(self, *args: Any) -> Any:
        """Check all arrays and run.

        Raises
        ------
        InternalError
            If one is not what the kernel declares.
        """
        self.check(args, {})
        return self.dispatcher(*args)

    def bind(self, *args: Any) -> Callable[..., Any]:
        """Check the first arguments now; the function returned takes the others, of which it checks the arrays."""
        sizes: dict[str, int] = {}
        self.check(args, sizes)
        first, dispatcher = len(args), self.dispatcher

        def call(*rest: Any) -> Any:
            self.check(rest, dict(sizes), first)
            return dispatcher(*args, *rest)

        return call

    def check(self, args: tuple[Any, ...], sizes: dict[str, int], first: int = 0) -> None:
        """Refuse arrays that are not as declared, among arguments from number ``first`` on."""
        if self.arrays is None:
            raise InternalError(f"{self.name} is for compiled code only: it does not check what it is given")
        for name, value in zip(self.arguments[first:], args, strict=False):
            if isinstance(value, tuple):
                specs = _declared[type(value)]
                for field, part in zip(type(value)._fields, value, strict=True):  # type: ignore[attr-defined]
                    if field in specs and not specs[field].admits(part, sizes):
                        self._refuse(f"{name}.{field}", specs[field], part, sizes)
                    elif field not in specs and isinstance(part, np.ndarray):
                        self._refuse(f"{name}.{field}", None, part, sizes)
            elif name in self.arrays:
                if not self.arrays[name].admits(value, sizes):
                    self._refuse(name, self.arrays[name], value, sizes)
            elif isinstance(value, np.ndarray):
                self._refuse(name, None, value, sizes)
        wrong = self.rule(*args) if self.rule is not None and not first else None
        if wrong is not None:
            raise InternalError(f"kernel {self.name}: {wrong}")

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


class _Unspecialised(types.Dispatcher):
    """A dispatcher that is compiled once for integers and truth values, not again for each one written in a call."""

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        values = tuple(types.unliteral(each) for each in args)
        return super().get_call_type(context, values, {key: types.unliteral(each) for key, each in dict(kws).items()})


register_model(_Unspecialised)(models.OpaqueModel)


@typeof_impl.register(Kernel)
def _typeof_kernel(kernel: Kernel, _context: Any) -> Any:
    """To compiled code a kernel is its dispatcher."""
    return _Unspecialised(kernel.dispatcher)


def compiled(
    rule: Callable[..., str | None] | None = None, **arrays: ArraySpec
) -> Callable[[Callable[..., Any]], Kernel]:
    """Compile a function that Python calls with the arrays given, by argument; others are numbers or tuples."""
    return lambda function: Kernel(function, arrays, rule)


def inner(function: Callable[..., Any]) -> Kernel:
    """Compile a function that only compiled code calls."""
    return Kernel(function, None)


def address(_array: Any) -> Any:
    """Where an array of C-ordered, aligned doubles lies; in compiled code only, and for such arrays only."""
    raise NotImplementedError


def output_address(_array: Any) -> Any:
    """`address` of an array that may be written into."""
    raise NotImplementedError


@overload(address)
def _address(_array):  # type: ignore[no-untyped-def]
    _require_pointable(_array, written=False)
    return lambda _array: _array.ctypes.data


@overload(output_address)
def _output_address(_array):  # type: ignore[no-untyped-def]
    _require_pointable(_array, written=True)
    return lambda _array: _array.ctypes.data


def _require_pointable(kind: Any, *, written: bool) -> None:
    plain = isinstance(kind, types.Array) and kind.dtype == types.float64 and kind.layout == "C" and kind.aligned
    if not plain or (written and not kind.mutable):
        raise TypingError(f"a pointer would misread {kind}: it must be C-ordered, aligned doubles")

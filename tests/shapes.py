"""Values held against the shapes that annotations say: ``Annotated[FloatArray, "p p"]``, with jaxtyping.

`spu.base.arrays` says what the annotations mean. Names of dimensions mean the same throughout one `holding`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from numbers import Real
from types import MappingProxyType, UnionType
from typing import Annotated, Any

import jaxtyping
import numpy as np
import scipy.sparse as sp

from spu.base import arrays

KINDS = {np.float64: jaxtyping.Float64, np.int64: jaxtyping.Int64, np.complex128: jaxtyping.Complex128}


@contextmanager
def holding(**sizes: int) -> Iterator[None]:
    """One call or one object: a dimension has one length in it, and those named here have that one."""
    with jaxtyping.jaxtyped("context"):
        for name, size in sizes.items():
            assert isinstance(np.empty(size), jaxtyping.Float[np.ndarray, name])
        yield


class _Anything(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, item: Any) -> Any:
        return cls


class Unknown(metaclass=_Anything):
    """What stands for a name that is there for type checkers only."""


def hints(of: Any, known: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Annotations, resolved; names that are there for type checkers only are `Unknown`, and none is an array's."""
    try:
        return typing.get_type_hints(of, localns=dict(known), include_extras=True)
    except NameError as error:
        assert error.name not in {*vars(arrays), "Annotated", "ArrayLike"}, error
        return hints(of, {**known, str(error.name): Unknown})


def parts(hint: Any) -> tuple[Any, ...]:
    return () if is_shaped(hint) else typing.get_args(hint)


def is_shaped(hint: Any) -> bool:
    """Whether it is an array with a shape."""
    return typing.get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], str)


def shaped(hint: Any) -> bool:
    """Whether there is a shape in it."""
    return is_shaped(hint) or any(map(shaped, parts(hint)))


def shapeless(hint: Any) -> bool:
    """Whether there is an array in it of which no shape is said."""
    if hint is np.ndarray or typing.get_origin(hint) is np.ndarray:
        return True
    return (
        hint in (sp.csr_array, sp.sparray)
        or "_SupportsArray" in repr(hint).split("[")[0]
        or any(map(shapeless, parts(hint)))
    )


def holds(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, shapes and kinds of numbers included."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if is_shaped(hint):
        return _array_holds(value, args[0], hint.__metadata__[0])
    if origin in (typing.Union, UnionType):
        return any(holds(value, each) for each in args)
    if hint in (Any, Unknown):
        return True
    if origin is tuple and args[-1:] != (Ellipsis,):
        return isinstance(value, tuple) and len(value) == len(args) and all(map(holds, value, args))
    if origin in (list, tuple):
        return isinstance(value, origin) and all(holds(each, args[0]) for each in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(holds(each, args[1]) for each in value.values())
    if hint is float:
        return isinstance(value, Real)
    return isinstance(value, hint if isinstance(hint, type) else origin or object)


def _array_holds(value: Any, base: Any, dimensions: str) -> bool:
    """Arrays of ours are of the type that is said; what a user gives is whatever numpy makes an array of."""
    if typing.get_origin(base) in (typing.Union, UnionType) and not shapeless_argument(base):
        return any(_array_holds(value, each, dimensions) for each in typing.get_args(base))
    if typing.get_origin(base) is np.ndarray:
        kind = KINDS[typing.get_args(typing.get_args(base)[1])[0]]
        return isinstance(value, kind[np.ndarray, dimensions])
    if base is sp.csr_array:
        return isinstance(value, jaxtyping.Float64[sp.csr_array, dimensions])
    given = value if hasattr(value, "shape") else np.asarray(value)
    return isinstance(given, jaxtyping.Shaped[type(given), dimensions])


def shapeless_argument(base: Any) -> bool:
    return "_SupportsArray" in repr(base)


def attributes(cls: type) -> dict[str, Any]:
    """The annotations of a class's attributes, properties included, in which there is a shape."""
    found = dict(hints(cls))
    for each in reversed(cls.__mro__):
        for name, member in vars(each).items():
            getter = member.fget if isinstance(member, property) else getattr(member, "func", None)
            if isinstance(member, (property, cached_property)) and getter.__module__.startswith("spu."):
                found.setdefault(name, hints(getter).get("return"))
    return {name: hint for name, hint in found.items() if shaped(hint) and not name.startswith("_")}


def wrong(value: Any, **sizes: int) -> list[str]:
    """The attributes of an object that are not what they are said to be, and those of the objects in it."""
    found = []
    with holding(**sizes):
        said = attributes(type(value))
        assert said, f"{type(value).__name__} says no shapes"
        found += [name for name, hint in said.items() if not holds(getattr(value, name), hint)]
    for name, inner in vars(value).items():
        if type(inner).__module__.startswith("spu.") and attributes(type(inner)):
            found += [f"{name}.{each}" for each in wrong(inner)]
    return found


def called(function: Any, *args: Any, **options: Any) -> Any:
    """Call, with arguments and result held against the annotations."""
    target = function.__init__ if isinstance(function, type) else function
    signature, said = inspect.signature(function), hints(target)
    given = signature.bind(*args, **options).arguments
    with holding():
        odd = [name for name, value in given.items() if name in said and not holds(value, said[name])]
        assert not odd, f"{function.__qualname__}: {', '.join(odd)} not as annotated"
        result = function(*args, **options)
        if not isinstance(function, type) and "return" in said:
            assert holds(result, said["return"]), f"{function.__qualname__}: the result is not as annotated"
    return result

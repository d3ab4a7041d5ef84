"""Write what the reference says of files from the registers that read them: JSON Schemas, and tables of keys.

    python docs/make_reference.py

Schemas lie in docs/reference/schemas/ (JSON Schema, draft 2020-12). Files that people write (`device.json`,
`circuit.json`) are closed: an unknown key is an error, as it is to the program. What programs read (`--json`,
`problem.json`) is open: a later version may say more. Tables stand in the pages between a pair of marks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import spu
from spu.base import errors
from spu.device.banks import CODINGS
from spu.device.imperfections import TABLES
from spu.device.quantities import PARTS, Part, bankable
from spu.device.tolerance import TABLES_OF
from spu.problems.files import KINDS  # all of them, registered

REFERENCE = Path(__file__).resolve().parent / "reference"
SCHEMAS = REFERENCE / "schemas"

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_]+$"}
HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{12}$"}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def listed(items: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **more}


def table(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **more: Any) -> Schema:
    """An object that has these keys, and may have others."""
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}, **more}


def closed(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **more: Any) -> Schema:
    """An object that has no other keys."""
    return table(required, optional, additionalProperties=False, **more)


def maybe(*kinds: Schema) -> Schema:
    """One of them, or null."""
    return {"anyOf": [*kinds, {"type": "null"}]}


def told(schema: Schema, words: str) -> Schema:
    """The same with a description."""
    return {**schema, "description": words}


NUMBERS = listed(NUMBER)
MATRIX = listed(NUMBERS)
SPARSE = closed({"shape": listed(WHOLE), "indptr": listed(WHOLE), "indices": listed(WHOLE), "data": NUMBERS})
PLACE = told(
    table({"npz": TEXT, "key": TEXT}, {"sparse": {"const": "csr"}, "shape": listed(WHOLE)}),
    "in place of a large array: its archive, and its name there",
)
VECTOR_OR_PLACE, MATRIX_OR_PLACE = {"anyOf": [NUMBERS, PLACE]}, {"anyOf": [MATRIX, PLACE]}
FILES = {"type": "object", "additionalProperties": SHA256}


def schema(title: str, words: str, body: Schema) -> Schema:
    """A schema of its own."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, "description": words, **body}


# --- device.json and circuit.json --------------------------------------------------------------------------


def _value(part: Part) -> Schema:
    """What stands for a quantity: a number, or one for each of its columns."""
    words = f"{part.unit}: {part.meaning}" if part.meaning else part.unit
    several = listed(NUMBER, minItems=len(part.keys), maxItems=len(part.keys))
    if len(part.keys) == 1:
        return told(NUMBER, words)
    return told(several if part.polynomial else {"anyOf": [NUMBER, several]}, words)


def _of_columns(of: str, each: Schema) -> Schema:
    """A value for each column that may be a bank's."""
    return closed({}, {key: each for quantity in bankable(of) for key in PARTS[of][quantity].keys})


def _of_banks(of: str, each: Schema) -> Schema:
    """A value for each quantity that may be a bank's; two for one that differs by direction."""
    return closed(
        {},
        {
            quantity: each if len(PARTS[of][quantity].keys) == 1 else {"anyOf": [each, listed(each)]}
            for quantity in bankable(of)
        },
    )


def _row(of: str, ends: Iterable[str]) -> Schema:
    """A cell or a coupler."""
    values = {quantity: _value(part) for quantity, part in PARTS[of].items()}
    return closed(
        dict.fromkeys(ends, NAME),
        {**values, "codes": _of_banks(of, WHOLE), "errors": _of_banks(of, NUMBER)},
    )


BANK = closed({"bits": WHOLE, "lsb": NUMBER}, {"offset": NUMBER, "coding": {"enum": list(CODINGS)}})

SPREAD = {"anyOf": [NUMBER, closed({}, {"mismatch": NUMBER, "process": NUMBER, "distribution": TEXT, "at": NUMBER})]}

READOUT = closed(
    {},
    {
        "variables": listed(TEXT),
        "gain": NUMBERS,
        "matrix": {"anyOf": [MATRIX, SPARSE]},
        "offset": NUMBERS,
    },
    oneOf=[{"required": ["gain"]}, {"required": ["matrix"]}],
)


def _detail() -> Schema:
    def value(table: str, key: str) -> Schema:
        known = TABLES[table][key]
        kind: Schema = WHOLE if known.kind == "whole" else {"enum": list(known.choices)} if known.choices else NUMBER
        return told(kind, f"{known.unit}: {known.meaning}" if known.unit else known.meaning)

    return closed({}, {name: closed({}, {key: value(name, key) for key in keys}) for name, keys in TABLES.items()})


def _tolerance() -> Schema:
    keys = {
        **{of: closed({}, dict.fromkeys(parts, SPREAD)) for of, parts in PARTS.items()},
        "input": {"type": "object", "additionalProperties": SPREAD},
        "shared": closed({}, {"amplitude": SPREAD}),
        "detail": closed({}, {name: closed({}, dict.fromkeys(keys, SPREAD)) for name, keys in TABLES.items()}),
    }
    return closed({}, {name: keys[name] for name in TABLES_OF})


def device() -> Schema:
    """`device.json`."""
    codes = {"cell_codes": _of_columns("cell", listed(WHOLE)), "coupler_codes": _of_columns("coupler", listed(WHOLE))}
    return schema(
        "device.json",
        "A programmed device: cells, couplers, readout. SI units.",
        closed(
            {"format": {"const": "spu-device/1"}, "cells": listed(_row("cell", ["name"]), minItems=1)},
            {
                "temperature": told({"type": "number", "minimum": 0}, "K; 300.15 where it is left out"),
                "architecture": TEXT,
                "compiled": told(closed({"source": TEXT, "values": TEXT}), "what it was compiled from: hashes"),
                "detail": told(_detail(), "what is not ideal about its parts"),
                "tolerance": told(_tolerance(), "how boards of it differ: relative standard deviations"),
                "banks": closed({}, {of: closed({}, dict.fromkeys(bankable(of), BANK)) for of in PARTS}),
                "couplers": listed(_row("coupler", ["a", "b"])),
                "noises": listed(
                    closed({"name": NAME, "amplitudes": {"type": "object", "additionalProperties": NUMBER}}),
                    description="white sources that cells share: A/sqrt(Hz) into each cell by name",
                ),
                "readout": told(READOUT, "x = gain v + offset, or matrix v + offset"),
                "programmings": listed(closed({}, {**codes, "readout": READOUT, "bias": NUMBERS})),
                "ramp": closed({"times": NUMBERS}, {"couplers": NUMBERS, "noise": NUMBERS}),
                "start": told(NUMBERS, "V of each cell at time zero"),
            },
        ),
    )


def circuit() -> Schema:
    """`circuit.json`."""
    return schema(
        "circuit.json",
        "How the netlist device.cir beside it is read: what `spu import` was told.",
        closed(
            {
                "format": {"const": "spu-circuit/1"},
                "source": maybe(TEXT),
                "title": TEXT,
                "hash": HASH,
                "probes": listed(TEXT),
                "silent": listed(TEXT),
                "densities": {"type": "object", "additionalProperties": NUMBER},
                "max_instances": WHOLE,
                "files": FILES,
                "version": TEXT,
            },
            {
                "temperature": {"type": "number", "minimum": 0},
                "only_ngspice": told(TEXT, "why nothing but ngspice reads it; no temperature then"),
            },
            oneOf=[{"required": ["temperature"]}, {"required": ["only_ngspice"]}],
        ),
    )


def problem() -> Schema:
    """`problem.json`."""
    kinds = [
        {
            "if": {"properties": {"task": {"const": task}}},
            "then": {"anyOf": [{"required": [key]} for key in kind.matrices]},
        }
        for task, kind in sorted(KINDS.items())
        if task != "network"
    ]
    statistics = {
        "mean": VECTOR_OR_PLACE,
        "covariance": MATRIX_OR_PLACE,
        "voltage_mean": VECTOR_OR_PLACE,
        "voltage_covariance": MATRIX_OR_PLACE,
    }
    return schema(
        "problem.json",
        "The problem of a folder, and under `compiled` what the compiler decided and predicted.",
        table(
            {
                "format": {"const": "spu-problem/1"},
                "task": {"enum": sorted(KINDS)},
                "variables": listed(TEXT),
                "compiled": table(
                    {"device_hash": HASH, "hardware": TEXT, "architecture": TEXT, "files": FILES, "version": TEXT},
                    {"statistics": table({}, statistics), "predicted_relative_error": maybe(NUMBER)},
                ),
            },
            allOf=kinds,
        ),
    )


# --- what --json prints ------------------------------------------------------------------------------------

ERROR_OF_MEAN = {
    "relative_error": maybe(NUMBER),
    "covariance_relative_error": maybe(NUMBER),
    "mean_relative_error": maybe(NUMBER),
    "lagged_relative_error": maybe(NUMBER),
}

STATISTICS: dict[str, Schema] = {
    "variables": listed(TEXT),
    "cells": listed(TEXT),
    "mean": told(VECTOR_OR_PLACE, "(p,) problem units"),
    "covariance": told(MATRIX_OR_PLACE, "(p, p) problem units"),
    "target_mean": maybe(NUMBERS, PLACE),
    "target_covariance": maybe(MATRIX, PLACE),
    "voltage_mean": told(VECTOR_OR_PLACE, "(n,) V"),
    "voltage_covariance": told(MATRIX_OR_PLACE, "(n, n) V^2"),
    "lag": told(maybe(NUMBER), "s"),
    "lagged": maybe(MATRIX, PLACE),
    "target_lagged": maybe(MATRIX, PLACE),
    **ERROR_OF_MEAN,
    "common_mode": {},
    "time_constants": told(VECTOR_OR_PLACE, "s, longest first"),
}

PICTURE = {"plot": told(maybe(TEXT), "the picture that was asked for")}


def compiled() -> Schema:
    """`spu compile --json`."""
    return schema(
        "spu compile --json",
        "What was decided, and what was written.",
        table(
            {
                "device": told(TEXT, "path"),
                "netlist": told(maybe(TEXT), "path"),
                "files": listed(TEXT),
                "cells": WHOLE,
                "couplers": WHOLE,
                "warnings": listed(TEXT),
                "device_hash": HASH,
                "hardware": TEXT,
                "architecture": TEXT,
            },
            {
                "predicted_relative_error": maybe(NUMBER),
                "predicted_covariance_relative_error": maybe(NUMBER),
                "predicted_mean_relative_error": maybe(NUMBER),
                "realizability": maybe(table({"class": TEXT, "rho": maybe(NUMBER), "reason": TEXT})),
                "levels": maybe(table({})),
                "common_mode": {},
                "mean": {},
                "embedding": {},
                "rounding": maybe(table({"method": TEXT, "banks": WHOLE, "programmings": WHOLE})),
                "flipped": WHOLE,
                "scale_spread": NUMBER,
            },
        ),
    )


def predicted() -> Schema:
    """`spu predict --json`."""
    return schema(
        "spu predict --json",
        "Exact statistics of a device of linear cells.",
        table(
            STATISTICS,
            {"poles": {"anyOf": [listed(listed(NUMBER, minItems=2, maxItems=2)), PLACE, {"type": "null"}]},
             "band": maybe(listed(NUMBER, minItems=2, maxItems=2)), "spectrum": {}, **PICTURE},
        ),
    )  # fmt: skip


def simulated() -> Schema:
    """`spu simulate --json`."""
    return schema(
        "spu simulate --json",
        "Sampled statistics of a device of linear cells, with error bars.",
        table(
            {
                **STATISTICS,
                "samples": told(WHOLE, "readouts over all trajectories"),
                "effective_samples": NUMBER,
                "covariance_error": told(MATRIX_OR_PLACE, "(p, p) standard errors"),
                "mean_error": told(VECTOR_OR_PLACE, "(p,) standard errors"),
                "seconds": NUMBER,
                "device_time": told(NUMBER, "s"),
                "interval": told(NUMBER, "s between readouts"),
                "trajectories": WHOLE,
                "seed": WHOLE,
                "complete": told(TRUTH, "false of a run that was interrupted"),
                "method": {"enum": ["independent", "modal", "dense", "midpoint", "clocked"]},
                "method_reason": TEXT,
                "precision": {"enum": ["double", "single"]},
                "warnings": listed(TEXT),
            },
            {
                "readouts": maybe(PLACE, listed({})),
                "times": maybe(PLACE, NUMBERS),
                "expected_relative_error": maybe(NUMBER),
                "lagged_error": maybe(MATRIX, PLACE),
                "time_step": maybe(NUMBER),
                "precision_error": maybe(NUMBER),
                "trace": WHOLE,
                "autocovariance": {},
                "output": maybe(TEXT),
                **PICTURE,
            },
        ),
    )


def predicted_network() -> Schema:
    """`spu predict --json` of nonlinear cells."""
    moments = {name: maybe(NUMBERS, MATRIX, PLACE) for name in ("mean", "covariance", "third", "fourth")}
    return schema(
        "spu predict --json, nonlinear cells",
        "What is known exactly of a device of nonlinear cells.",
        table(
            {
                "variables": listed(TEXT),
                **moments,
                "theta": told(maybe(NUMBER), "of the law exp(-U/theta); null where there is none"),
                "why": told(TEXT, "why moments are not known, where they are not"),
                "rest": told(NUMBERS, "where units rest without noise"),
                "time_constants": told(VECTOR_OR_PLACE, "s, about that rest"),
                "coordinate": {"enum": ["voltage", "flux", "charge"]},
                "heat": TEXT,
                "time_unit": told(maybe(NUMBER), "s: one of the network's own time"),
                "cells": listed(TEXT),
            },
            {"spectrum": {}, **PICTURE},
        ),
    )


def simulated_network() -> Schema:
    """`spu simulate --json` of nonlinear cells."""
    at_times = told({"anyOf": [MATRIX, PLACE]}, "(times, units)")
    return schema(
        "spu simulate --json, nonlinear cells",
        "Trajectories of a device of nonlinear cells, read at given times.",
        table(
            {
                "variables": listed(TEXT),
                "times": told(NUMBERS, "the network's own time"),
                "device_times": told(NUMBERS, "s"),
                "mean": at_times,
                "mean_error": at_times,
                "variance": at_times,
                "variance_error": at_times,
                "covariance": told(MATRIX_OR_PLACE, "(units, units) at the last time"),
                "trajectories": WHOLE,
                "samples": WHOLE,
                "step": told(NUMBER, "s"),
                "scheme": {"enum": ["heun", "euler-maruyama", "leimkuhler-matthews", "baoab"]},
                "seed": WHOLE,
                "seconds": NUMBER,
                "complete": TRUTH,
                "precision": {"enum": ["double", "single"]},
                "warnings": listed(TEXT),
            },
            {
                "readouts": maybe(PLACE, listed({})),
                "time_step": NUMBER,
                "pieces": NUMBER,
                "step_error": NUMBER,
                "checked": WHOLE,
                "clamped": {},
                "speedup": NUMBER,
                "time_unit": maybe(NUMBER),
                "first_law": {},
                "output": maybe(TEXT),
                **PICTURE,
            },
        ),
    )


def checked() -> Schema:
    """`spu check --json`."""
    verdict = {"enum": ["pass", "fail", "skipped", "inconclusive", "error"]}
    level = table(
        {
            "verdict": verdict,
            "error": maybe(NUMBER),
            "tolerance": maybe(NUMBER),
            "false_alarm_rate": maybe(NUMBER),
            "detects": {"type": "object"},
            "seconds": NUMBER,
            "message": TEXT,
        }
    )
    comparison = table(
        {
            "between": listed(TEXT, minItems=2, maxItems=2),
            "quantity": TEXT,
            "found": NUMBER,
            "predicted": {"type": "object", "additionalProperties": NUMBER},
            "scatter": NUMBER,
            "unexplained": NUMBER,
            "limit": NUMBER,
            "within": TRUTH,
        }
    )
    simulator = table({"name": TEXT, "verdict": verdict, "levels": {"type": "object"}})
    return schema(
        "spu check --json",
        "The verdict, level by level. Of several simulators it is the worst; the other keys speak of the first.",
        table(
            {
                "verdict": verdict,
                "simulator": TEXT,
                "levels": {"type": "object", "additionalProperties": level},
                "notes": listed(TEXT),
                "variables": listed(TEXT),
                "means": table({}),
                "covariances": table({}),
                "diagnosis": {},
                "comparisons": told(listed(comparison), "pairwise: ideal, emulator, simulator"),
                "changes": {},
            },
            {
                "corners": told(listed(comparison), "`comparisons` by its former name"),
                "simulators": told(listed(simulator), "one entry a simulator"),
                **PICTURE,
            },
        ),
    )


def yielded() -> Schema:
    """`spu yield --json`."""
    return schema(
        "spu yield --json",
        "How many boards meet a limit, and why the others do not.",
        table(
            {
                "device": HASH,
                "architecture": maybe(TEXT),
                "metric": TEXT,
                "unit": TEXT,
                "limit": closed({"low": maybe(NUMBER), "high": maybe(NUMBER)}),
                "tolerance": {"type": "object"},
                "draws": WHOLE,
                "seed": WHOLE,
                "method": {"enum": ["plain", "latin"]},
                "yield": {"type": "number", "minimum": 0, "maximum": 1},
                "good": WHOLE,
                "interval": listed(NUMBER, minItems=2, maxItems=2),
                "interval_is": TEXT,
                "confidence": NUMBER,
                "nominal": NUMBER,
                "quantiles": {"type": "object", "additionalProperties": maybe(NUMBER)},
                "unstable": listed(WHOLE),
                "contributions": listed(table({"element": TEXT, "share": NUMBER, "effect": NUMBER})),
            },
            {
                "words": TEXT,
                "predicted": {},
                "worst_case_distance": maybe(NUMBER),
                "worst_case": {},
                "wanted": {},
                "scan": listed({}),
                "bits": listed({}),
                "netlists": listed({}),
                "output": maybe(TEXT),
                **PICTURE,
            },
        ),
    )


def solved() -> Schema:
    """`spu solve --json`, and those of the other tasks."""
    return schema(
        "spu solve --json",
        "An answer with its error bars; also of `invert`, `logdet`, `expm`, `lyapunov` and `lstsq`.",
        table(
            {
                "answer": told({"anyOf": [NUMBER, NUMBERS, MATRIX, PLACE]}, "the problem's units"),
                "standard_error": {"anyOf": [NUMBER, NUMBERS, MATRIX, PLACE]},
                "relative_error": NUMBER,
                "device_time": told(NUMBER, "s"),
                "burn_in": told(NUMBER, "s"),
                "readouts": WHOLE,
                "floor": told(maybe(NUMBER), "the relative error that the hardware leaves however long it is read"),
                "task": {"enum": sorted(KINDS)},
                "variables": listed(TEXT),
                "seed": WHOLE,
                "complete": TRUTH,
                "warnings": listed(TEXT),
            },
            {
                "interval": told(maybe(NUMBER), "s between readouts"),
                "exact": maybe(NUMBER, NUMBERS, MATRIX, PLACE),
                "measured_error": maybe(NUMBER),
                "energy": {},
                "output": maybe(TEXT),
            },
        ),
    )


def refused() -> Schema:
    """What every verb prints with --json where it ends in an error."""
    return schema(
        "an error under --json",
        "What any verb prints, as its one object, where there is no result.",
        closed(
            {
                "error": table(
                    {
                        "kind": {"enum": list(kinds_of_errors())},
                        "message": TEXT,
                        "file": maybe(TEXT),
                        "line": maybe(WHOLE),
                    },
                    {"details": {"type": "object"}, "nodes": listed(TEXT)},
                )
            }
        ),
    )


ALL = {
    "device": device,
    "circuit": circuit,
    "problem": problem,
    "compile": compiled,
    "predict": predicted,
    "predict-network": predicted_network,
    "simulate": simulated,
    "simulate-network": simulated_network,
    "check": checked,
    "yield": yielded,
    "solve": solved,
    "error": refused,
}


# --- tables in pages ---------------------------------------------------------------------------------------


def kinds_of_errors() -> dict[str, type[errors.SpuError]]:
    """Kind to class, of all errors."""
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.SpuError)]
    found: dict[str, type[errors.SpuError]] = {}
    for each in classes:
        if "kind" in vars(each):
            found.setdefault(each.kind, each)
    return found


def rows_of_errors() -> list[str]:
    """Kind, exit status and meaning."""
    rows = ["| kind | exit status | in Python | what it is |", "|---|---|---|---|"]
    for kind, each in kinds_of_errors().items():
        first = (each.__doc__ or "").strip().partition("\n")[0].replace("`InternalError`", "`internal`")
        name = f"{{py:class}}`~spu.{each.__name__}`" if each.__name__ in spu.__all__ else f"`{each.__name__}`"
        rows.append(f"| `{kind}` | {each.exit_status} | {name} | {first.replace('``', '`')} |")
    return rows


def rows_of_parts(of: str) -> list[str]:
    """Quantities of a cell or a coupler."""
    rows = ["| key | unit | what | bank |", "|---|---|---|---|"]
    for quantity, part in PARTS[of].items():
        several = f" ({len(part.keys)} numbers)" if part.polynomial else " (or two: `ab`, `ba`)" * (len(part.keys) == 2)
        banked = "yes" if quantity in bankable(of) else ""
        rows.append(
            f"| `{quantity}`{several} | {part.unit} | {part.meaning or part.quantity.replace('_', ' ')} | {banked} |"
        )
    return rows


def rows_of_detail() -> list[str]:
    """Tables and keys of what is not ideal."""
    rows = ["| table | key | unit | what |", "|---|---|---|---|"]
    for name, keys in TABLES.items():
        for key, known in keys.items():
            choices = f": {', '.join(known.choices)}" if known.choices else ""
            rows.append(f"| `[detail.{name}]` | `{key}` | {known.unit} | {known.meaning}{choices} |")
    return rows


def rows_of_tasks() -> list[str]:
    """Kinds of problem and their keys."""
    rows = ["| `task` | matrix, one of | vectors | other keys | what is asked |", "|---|---|---|---|---|"]
    for task, kind in sorted(KINDS.items()):
        words = [", ".join(f"`{key}`" for key in keys) for keys in (kind.matrices, kind.vectors, kind.values)]
        rows.append(f"| `{task}` | {' | '.join(words)} | {kind.words} |")
    return rows


TABLES_OF_PAGES = {
    "exit_status.md": {"errors": rows_of_errors},
    "device_file.md": {"cells": lambda: rows_of_parts("cell"), "couplers": lambda: rows_of_parts("coupler")},
    "hardware_file.md": {"detail": rows_of_detail},
    "problem_file.md": {"tasks": rows_of_tasks},
}


def page(text: str, tables: Mapping[str, Callable[[], list[str]]]) -> str:
    """The page with its tables as they are now."""
    for name, rows in tables.items():
        begin, end = f"<!-- {name}: written by docs/make_reference.py -->\n", "<!-- end -->"
        head, found, rest = text.partition(begin)
        assert found, f"no place for {name}"
        text = "\n".join([f"{head}{begin}", *rows(), "", f"{end}{rest.partition(end)[2]}"])
    return text


def written() -> dict[Path, str]:
    """Every file that this writes, with what is to stand in it."""
    found = {SCHEMAS / f"{name}.schema.json": json.dumps(make(), indent=1) + "\n" for name, make in ALL.items()}
    for name, tables in TABLES_OF_PAGES.items():
        path = REFERENCE / name
        found[path] = page(path.read_text(encoding="utf-8"), tables)
    return found


if __name__ == "__main__":
    for path, text in written().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

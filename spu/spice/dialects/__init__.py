"""What simulators write differently: ngspice, LTspice, Xyce, Spectre, VACASK.

`spu.spice.netlist` is the one writer. It asks a `Dialect` for each kind of line; the base class
writes ngspice's, and the others override what differs:

==================  ====================  ====================  ====================  ====================
what                ngspice               LTspice               Xyce                  Spectre
==================  ====================  ====================  ====================  ====================
comment             ``*``, ``;`` behind   as ngspice            as ngspice            ``//``
expression          ``{e}``               ``{e}``               ``{e}``               ``e``
``.subckt``         ``name=value``        ``params:`` first     ``params:`` first     ``parameters`` line
instance            ``x a b s c=1``       as ngspice            ``params:`` first     ``x (a b) s c=1``
element             letter says which     as ngspice            as ngspice            master behind nodes
silent resistor     ``noisy=0``           a VCCS onto itself    a VCCS onto itself    ``isnoisy=no``
inductor            as written            ``Rser=0 Rpar=1e15``  as written            as written
resistors' noise    ``.noise`` only       ``.noise`` only       ``.noise`` only       ``tran``, too
noise in ``.tran``  ``trrandom``          ``rand()``            a file                ``noisefmax=``
options             ``.options``          ``.options``          one package a line    ``options``
analysis            ``.control`` block    ``.step``, ``.meas``  ``.step``             ``noise``, ``tran``
==================  ====================  ====================  ====================  ====================

VACASK (`spu.spice.dialects.vacask`) writes instances and parameters as Spectre does. It runs in the tests, so what it
takes needs no manual; the three others rest on these rules, documented where is said:

LTspice (its help, pages of the names given)
    *.SUBCKT*: parameters behind ``params:``. *.PARAM*: expressions in braces. *R*: no parameter silences
    it (``noiseless`` does, users report, but is not documented). *G*: linear form. *L*: an inductor
    without ``Rser`` gets 1 milliohm, one without ``Rpar`` gets damping. *B*: ``rand(x)`` is uniform on 0
    to 1, one number for each integer part of x; sampled and held every ``ts`` that is white noise of
    density ``ts/6`` at low frequency. *.NOISE*: needs an independent source; one analysis a run.
    *.STEP param*, *.MEAS NOISE ... INTEG V(onoise)*: the rms over the sweep.
Xyce (Reference Guide, 2.1 and 2.3)
    *.SUBCKT* and *X*: ``PARAMS:``. *R*: no parameter silences it. *G*: linear form. *.PARAM*: constants;
    *.GLOBAL_PARAM*: what ``.STEP`` may change; reserved are Time, Freq, Vt, Temp, GMIN. *.NOISE*: one
    output; the integrals go to stdout. *V*: ``PWL FILE "name"``. *.OPTIONS DEVICE TEMP*, *TIMEINT*.
Spectre (Circuit Simulator Reference and Components Reference)
    ``name (nodes) master parameter=value``; ``subckt``, ``parameters``, ``ends``; names are case-sensitive;
    *resistor* ``isnoisy``; *vccs* ``gm``; *vcvs* ``gain``; *cccs* ``gain probe``; *ccvs* ``rm probe``;
    *mutual_inductor* ``coupling ind1 ind2``; *noise*: any number of analyses, each with its output nodes;
    *tran* ``noisefmax noiseseed``: all noise of the elements, up to that frequency.

Names are those of the device behind a prefix (``cell_``, ``x``): letters, digits and underscores, the
letter of the element first, never a number, different by more than case. Every dialect takes them.
"""

from __future__ import annotations

from collections.abc import Mapping

from spu.base.errors import InputError
from spu.base.names import shorten, suggest
from spu.spice.dialects.dialect import Dialect
from spu.spice.dialects.ltspice import LTspice
from spu.spice.dialects.spectre import Spectre
from spu.spice.dialects.vacask import Vacask
from spu.spice.dialects.xyce import Xyce

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (Dialect(), LTspice(), Xyce(), Spectre(), Vacask())
}
"""Dialects by name; ngspice is what ``device.cir`` is written in and `spu.check` runs."""

NGSPICE = DIALECTS["ngspice"]


def find_dialect(name: str) -> Dialect:
    """The dialect of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    found = DIALECTS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"no dialect {shorten(name)}: {suggest(name, DIALECTS)}")
    return found

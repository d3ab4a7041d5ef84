"""Work is done once for a device: its circuit, its digests and its law; and nothing that was kept outlives a change."""

import json
import sys
from collections import Counter
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
import spu.crosscheck.levels.answer
import spu.emulator.dynamics
import spu.emulator.laws.sensitivity
import spu.reports
from spu.circuit.circuit import Circuit
from spu.cli import cli
from spu.compiler import compile_network, compile_problem
from spu.device.banks import Bank
from spu.device.codes import codes_table, program
from spu.device.device import Device
from spu.device.imperfections import Detail
from spu.device.lower import lower
from spu.device.programming import Origin
from spu.emulator.dynamics import device_law, forget_laws
from spu.emulator.equations.linear import stochastic_ode
from spu.emulator.laws.law import solve

ROOT = Path(__file__).parents[2]
A = np.array([[2.0, -0.5, 0.3], [-0.5, 1.5, 0.2], [0.3, 0.2, 1.0]])
PROBLEM = spu.GaussianSampling(precision=A)


class Work:
    """How often each kind of work was done: lowering, digests, equation and law, by the device (its content)."""

    def __init__(self, monkeypatch):
        self.lowered, self.digests, self.equations, self.laws = (Counter() for _ in range(4))
        self.of: list[tuple[Circuit, str]] = []  # circuits as they are lowered; those that are derived are others'

        def lowering(do, device):
            circuit = do(device)
            self.of.append((circuit, circuit.content))
            self.lowered[circuit.content] += 1
            return circuit

        def equation(do, circuit, *rest):
            self.equations[self.whose(circuit)] += 1
            return do(circuit, *rest)

        def law(do, sde):
            self.laws[self.whose(sde.origin.circuit)] += 1
            return do(sde)

        def digest(do, *given):
            made = do(*given)
            self.digests[made] += 1
            return made

        everywhere(monkeypatch, spu.device.lower._lowered, lowering)
        everywhere(monkeypatch, stochastic_ode, equation)
        everywhere(monkeypatch, solve, law)
        for name in ("_digest", "_digest_of_values"):
            original = getattr(Device, name)
            monkeypatch.setattr(Device, name, lambda *given, do=original: digest(do, *given))

    def whose(self, circuit):
        return next((content for known, content in self.of if known is circuit), "another")


def everywhere(monkeypatch, function, instead):
    """Put something in the place of a function wherever it was imported."""

    def wrapped(*arguments):
        return instead(function, *arguments)

    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("spu."):
            for name, held in list(vars(module).items()):
                if held is function:
                    monkeypatch.setattr(module, name, wrapped)


@pytest.fixture(scope="module")
def club8(tmp_path_factory):
    """A folder, and the counts of its compilation."""
    path = tmp_path_factory.mktemp("club8") / "out"
    with pytest.MonkeyPatch.context() as patch:
        work = Work(patch)
        ran = CliRunner().invoke(cli, ["compile", str(ROOT / "examples" / "club8.toml"), "-o", str(path)])
    assert ran.exit_code == 0, ran.output
    return path, work


def test_compiling_does_each_work_once_for_each_device(club8):
    """The levels of the readout are planned on devices of other noise: two beside the one that is returned."""
    path, work = club8
    assert len(work.digests) == 6 and set(work.digests.values()) == {1}  # of the values, and of the whole
    made = Device.read(path / "device.json").content
    assert set(work.lowered.values()) == {1} and len(work.lowered) == 3 and made in work.lowered
    assert set(work.laws.values()) == {1} and work.laws.keys() == work.lowered.keys()
    # The netlist stamps its circuit once more: it holds the law of its header against what it prints.
    assert work.equations == {content: 2 if content == made else 1 for content in work.lowered}


@pytest.mark.parametrize(
    "words",
    [
        ("predict",),
        ("simulate", "--samples", "200"),
        ("check", "--level", "ideal"),
        ("inspect",),
        ("report", "--level", "ideal"),
    ],
    ids=lambda words: words[0],
)
def test_each_command_does_it_once(club8, monkeypatch, words):
    """Sensitivities of a check are laws of other circuits, with one value changed each."""
    path, _ = club8
    work = Work(monkeypatch)
    ran = CliRunner().invoke(cli, [words[0], str(path), *words[1:]])
    assert ran.exit_code == 0, ran.output
    assert len(work.digests) == 2 and set(work.digests.values()) == {1}
    made = Device.read(path / "device.json").content
    assert work.lowered == {made: 1}
    assert (work.equations[made], work.laws[made]) == (1, 1)
    assert work.equations.keys() <= {made, "another"}


def test_each_member_of_an_ensemble_is_worked_out_once(monkeypatch):
    device = compile_problem(PROBLEM, "spu8-8bit", ensemble=3).device
    device = Device.from_dict(json.loads(device.to_json()))
    device.problem = PROBLEM
    work = Work(monkeypatch)
    for _ in range(2):
        spu.predict(device)
        spu.simulate(device, samples=99, seed=1)
        spu.spectrum(device)
    assert len(work.laws) == 3
    assert set(work.lowered.values()) == set(work.laws.values()) == set(work.equations.values()) == {1}


def linear() -> Device:
    """A few cells of all linear quantities."""
    device = Device()
    for name in "abc":
        device.add_cell(name, capacitance=1e-9, conductance=1e-3, inductance=1e-5, noise=4e-20, bias=1e-6)
    device.add_coupler("a", "b", capacitance=2e-10)
    device.add_coupler("b", "c", transconductance=(1e-4, -1e-4))
    device.set_readout(np.eye(3), [1.0, 2.0, 3.0], ["x", "y", "z"])
    return device


def quantised() -> Device:
    return compile_problem(PROBLEM, "spu8-8bit", ensemble=2).device


def grow(array):
    array[0] = 2 * array[0]


def other_programming(device):
    device.programmings[0] = replace(device.programmings[0], bias=np.full(3, 1e-6))


def code_of_a_further_one(device):
    next(iter(device.programmings[0].coupler_codes.values()))[0] += 1


def other_codes(device):
    columns = device.cell_columns
    columns.set_codes({key: np.maximum(codes - 1, 0) for key, codes in columns.codes.items()})


def other_bank(device):
    quantity, bank = next(iter(device.cell_columns.banks.items()))
    device.cell_columns.banks[quantity] = replace(bank, lsb=1.5 * bank.lsb)


def banks_of_its_own(device):
    bank = Bank(3, 1e-10, 1e-9)
    device.set_banks({"capacitance": bank}, {}, {"capacitance": np.array([1, 2, 3])}, {})


CHANGES = {
    "add_cell": (linear, lambda d: (setattr(d, "_readout", None), d.add_cell("d", capacitance=1e-9, conductance=1e-3))),
    "add_coupler": (linear, lambda d: d.add_coupler("a", "c", conductance=1e-3)),
    "an entry of a cell's array": (linear, lambda d: grow(d.cell_columns.arrays["capacitance"])),
    "a whole array in place": (linear, lambda d: d.cell_columns.arrays["noise"].fill(1e-20)),
    "an array through a view": (linear, lambda d: grow(d.cell_columns.arrays["conductance"][1:].reshape(-1, 1)[:, 0])),
    "another array": (linear, lambda d: d.cell_columns.arrays.update(bias=np.array([1e-6, 2e-6, 3e-6]))),
    "a coupler's array": (
        linear,
        lambda d: np.multiply(c := d.coupler_columns.arrays["transconductance_ab"], 2, out=c),
    ),
    "other columns": (linear, lambda d: setattr(d, "cell_columns", compile_problem(PROBLEM).device.cell_columns)),
    "a name": (linear, lambda d: d.cell_names.__setitem__(0, "other")),
    "ends in place": (linear, lambda d: d.coupler_ends.__setitem__(0, [0, 2])),
    "other ends": (linear, lambda d: setattr(d, "coupler_ends", np.array([[0, 2], [1, 2]]))),
    "temperature": (linear, lambda d: setattr(d, "temperature", 77.0)),
    "detail": (linear, lambda d: setattr(d, "detail", Detail(node={"capacitance": 1e-12}))),
    "a value of the detail": (
        lambda: linear().at_detail(Detail(node={"capacitance": 1e-12})),
        lambda d: d.detail.node.__setitem__("capacitance", 2e-12),
    ),
    "set_readout": (linear, lambda d: d.set_readout(2 * np.eye(3))),
    "no readout": (linear, lambda d: setattr(d, "_readout", None)),
    "a readout's offset": (linear, lambda d: grow(d.readout.offset)),
    "a readout's matrix": (linear, lambda d: grow(d.readout.matrix.data)),
    "architecture": (linear, lambda d: setattr(d, "architecture", "by hand")),
    "origin": (linear, lambda d: setattr(d, "origin", Origin("source", d.computed))),
    "compiled_from": (linear, lambda d: d.compiled_from("source")),
    "set_banks": (linear, banks_of_its_own),
    "set_codes": (quantised, other_codes),
    "a bank": (quantised, other_bank),
    "codes alone": (quantised, lambda d: grow(d.cell_columns.codes["capacitance"])),
    "a further programming": (quantised, other_programming),
    "a code of a further programming": (quantised, code_of_a_further_one),
    "a readout of a further programming": (quantised, lambda d: grow(d.programmings[0].readout.matrix.data)),
    "one programming less": (quantised, lambda d: d.programmings.clear()),
    "other programmings": (quantised, lambda d: setattr(d, "programmings", d.programmings * 2)),
}


def fresh(device: Device) -> Device:
    """The same device, of which nothing is kept."""
    other = copy(device)
    other._kept = None
    return other


def everything(device):
    """What follows from a device: digests, the numbers of its circuits and its laws."""
    found = [device.hash, device.computed, device.content]
    for member in device.members():
        circuit, law = lower(member), device_law(member)
        found += [member.content, circuit.hash, circuit.content, circuit.temperature, list(circuit.node_names())]
        found += [circuit.readout.state(), list(circuit.sources), circuit.probe_nodes.tolist()]
        for group in circuit.instances:
            found += [group.subcircuit.name, group.subcircuit.elements, dict(group.subcircuit.constants)]
            found += [list(group.names), group.nodes.tolist()]
            found += [{key: array.tolist() for key, array in group.parameters.items()}]
        found += [law.voltage_covariance.tolist(), law.voltage_mean.tolist(), law.sde.readout.state()]
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_everything_is_new(change):
    make, edit = CHANGES[change]
    device = make()
    before = everything(device)
    assert everything(device) == before and lower(device) is lower(device)
    assert device_law(device) is device_law(device)
    circuit, law = lower(device), device_law(device)
    edit(device)
    after = everything(device)
    assert after == everything(fresh(device)) != before
    assert lower(device) is not circuit
    assert device_law(device) is not law


def test_problem_and_scales_are_those_of_now():
    device = linear()
    circuit = lower(device)
    device.problem = PROBLEM
    assert lower(device).problem is PROBLEM and circuit.problem is None
    device.problem = other = spu.GaussianSampling(precision=A)
    assert lower(device).problem is other
    device.scales = scales = compile_network(spu.ThermodynamicNetwork([1], 0, 1)).scales
    assert lower(device).scales == scales


def test_a_circuit_does_not_follow_its_device():
    device = linear()
    circuit = lower(device)
    names = [list(group.names) for group in circuit.instances]
    state = circuit.readout.state()
    device.cell_names[0], device.coupler_ends[0] = "other", [0, 2]
    device.readout.offset[0] = 7.0
    assert [list(group.names) for group in circuit.instances] == names
    assert circuit.readout.state() == state
    with pytest.raises(ValueError, match="read-only"):
        circuit.instances[0].nodes[0] = 0


def test_a_change_back_is_no_change():
    device = linear()
    hash_, content = device.hash, device.content
    device.temperature += 1.0
    assert device.hash != hash_
    device.temperature -= 1.0
    assert (device.hash, device.content) == (hash_, content)


def test_a_member_that_was_changed_is_not_what_is_kept():
    device = quantised()
    content = device.members()[1].content
    member = device.members()[1]
    member.cell_columns.arrays["noise"][:] = 0.0
    assert member.content != content
    assert device.members()[1].content == content
    assert lower(device.members()[1]) is lower(device.members()[1])


def test_laws_that_were_forgotten_are_found_again():
    device = quantised()
    laws = [device_law(member) for member in device.members()]
    assert all(device_law(member) is law for member, law in zip(device.members(), laws, strict=True))
    forget_laws(device)
    assert all(device_law(member) is not law for member, law in zip(device.members(), laws, strict=True))


def test_codes_of_a_table_are_those_of_the_copy():
    device = quantised()
    table, content = codes_table(device), device.content
    lines = table.splitlines()
    *head, code = lines[1].split(",")
    other = program(device, "\n".join([lines[0], ",".join([*head, str(int(code) - 1)])]))
    assert other.content != content == device.content
    assert codes_table(device) == table != codes_table(other)

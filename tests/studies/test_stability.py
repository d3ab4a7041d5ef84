"""Margins of stability: closed forms, brute force on small systems with delays, ngspice with lines that delay."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import near

import spu
from spu.base.errors import InputError, UsageError
from spu.cli import cli
from spu.device.device import Device
from spu.device.imperfections import Detail
from spu.device.lower import lower
from spu.device.variation import draw_factors, elements_of, varied
from spu.emulator.laws.margins import Loops, delay_crossing, gain_crossings, loops_of

C, G = 1e-9, 1e-3


def one_cell(active, **more):
    device = Device(temperature=300.0, **more)
    device.add_cell("a", capacitance=C, conductance=G, active_conductance=active, noise=4e-20)
    return device


def rotating(g, **more):
    """Two cells that drive one another with opposite signs."""
    device = Device(temperature=300.0, **more)
    for name in "ab":
        device.add_cell(name, capacitance=C, conductance=G, noise=4e-20)
    device.add_coupler("a", "b", transconductance=(g, -g))
    return device


def drawn(seed, n=3, strength=0.8, buffer=False, inductive=False):
    """A stable device with couplings of any sign."""
    rng = np.random.default_rng(seed)
    while True:
        device = Device(temperature=300.0, detail=Detail(buffer={"bandwidth": 3e5}) if buffer else Detail())
        for k in range(n):
            more = {"inductance": 1e-4 * rng.uniform(0.5, 2)} if inductive else {}
            device.add_cell(
                f"c{k}", capacitance=C * rng.uniform(0.5, 2), conductance=G * rng.uniform(0.5, 2), noise=4e-20, **more
            )
        for j in range(n):
            for i in range(j):
                device.add_coupler(f"c{i}", f"c{j}", transconductance=tuple(rng.normal(size=2) * strength * G))
        if spu.decay_rate(device) > 0.05 * G / C:
            return device


# Closed forms


def test_a_passive_network_cannot_become_unstable():
    device = spu.compile([[2.0, -0.5], [-0.5, 1.0]])
    device.tolerance = spu.Tolerance(cell={"capacitance": 0.1})
    found = spu.stability(device)
    assert found.passive
    assert found.stable
    assert (found.gain, found.delay, found.worst_case, found.probability, found.why) == (None, None, None, None, "")
    assert "nothing can make it unstable" in str(found)
    assert 1 / found.decay == near(spu.predict(device).time_constants[0], 1e-9)


def test_a_negative_conductance_reaches_the_loss_of_its_cell():
    found = spu.stability(one_cell(-4e-4))
    assert found.gain.at == near(2.5, 1e-12)
    assert (found.gain.frequency, found.delay, found.gain_below, found.amplifiers) == (0.0, None, None, 1)
    assert found.decay == near(0.6 * G / C, 1e-12)


def test_a_conductance_that_comes_late():
    """``j w C + G + g e^(-j w tau) = 0``: the magnitude gives w, the phase tau. Late loss below the other is none."""
    found = spu.stability(one_cell(3 * G))
    w = np.sqrt(8.0) * G / C
    assert found.delay.at == near(np.arccos(-1 / 3) / w, 1e-10)
    assert found.delay.frequency == near(w / (2 * np.pi), 1e-10)
    assert found.gain is None
    assert spu.stability(one_cell(0.9 * G)).delay is None


def test_cells_that_drive_one_another_in_turn():
    """Modes ``-G +- j g``: no gain moves them to the right; delay turns the phase of g."""
    g = 2.5 * G
    found = spu.stability(rotating(g))
    w = np.sqrt(g**2 - G**2) / C
    assert found.gain is None
    assert found.delay.at == near((np.pi / 2 - np.arctan2(w, G / C)) / w, 1e-9)
    assert found.frequency == near(g / C / (2 * np.pi), 1e-10)


@pytest.mark.parametrize("g", [0.3 * G, -0.3 * G, 2.0 * G])
def test_modes_that_are_alike(g):
    """Four alike cells, all to all: modes ``G + g * 3`` and, three times, ``G - g``, of which no eigenvector is one."""
    device = Device(temperature=300.0)
    for name in "abcd":
        device.add_cell(name, capacitance=C, conductance=G, noise=4e-20, active_conductance=2.0 * G if g > G else 0.0)
    for pair in ("ab", "ac", "ad", "bc", "bd", "cd"):
        device.add_coupler(*pair, transconductance=g)
    found = spu.stability(device)
    own = 2.0 * G if g > G else 0.0
    limits = [-G / each for each in (own + 3 * g, own - g) if each < 0]
    assert (found.gain is None) == (not limits)
    if limits:
        assert found.gain.at == near(min(limits), 1e-9)
    late = [each for each in (own + 3 * g, own - g) if abs(each) > G]
    assert (found.delay is None) == (not late)
    if late:
        w = np.sqrt(max(late) ** 2 - G**2) / C
        assert found.delay.at == near(np.arccos(-G / max(late)) / w, 1e-8)


def test_gains_have_a_lower_limit_where_too_little_is_unstable():
    """Matrices that are stable with nothing, unstable with half, and stable with all of what is active."""
    rng = np.random.default_rng(5)
    ks = np.linspace(0.0, 1.0, 401)
    for _ in range(20_000):
        A0 = -np.diag(rng.uniform(0.2, 2.0, 3))
        B, C_ = rng.normal(size=(3, 2)), 2 * rng.normal(size=(2, 3))
        if np.linalg.eigvals(A0 + B @ C_).real.max() < -0.05 < 0.05 < np.linalg.eigvals(A0 + B @ C_ / 2).real.max():
            break
    else:
        raise AssertionError("no such matrices")
    abscissas = np.array([np.linalg.eigvals(A0 + k * B @ C_).real.max() for k in ks])
    last = ks[1:][np.diff(np.sign(abscissas)) != 0][-1]
    below, _ = gain_crossings(Loops(A0 + B @ C_, B, C_, None, SimpleNamespace(time=1.0)))
    assert last - 0.0025 < below.at < last
    assert abs(np.linalg.eigvals(A0 + below.at * B @ C_).real.max()) < 1e-12


# Brute force


def rightmost(A0, A1, delay, points=24):
    """Real part of the rightmost exponent of ``x' = A0 x + A1 x(t - delay)``, by collocation of its generator."""
    n = len(A0)
    k = np.arange(points + 1)
    x = np.cos(np.pi * k / points)
    c = np.where((k == 0) | (k == points), 2.0, 1.0) * (-1.0) ** k
    D = np.outer(c, 1 / c) / (x[:, None] - x + np.eye(points + 1))
    D -= np.diag(D.sum(axis=1))
    whole = np.kron(D * 2 / delay, np.eye(n))
    whole[:n] = 0
    whole[:n, :n], whole[:n, -n:] = A0, A1
    return np.linalg.eigvals(whole).real.max()


@pytest.mark.parametrize("kind", ["plain", "buffered", "inductive"])
@pytest.mark.parametrize("seed", range(4))
def test_margins_are_where_modes_reach_the_axis(seed, kind):
    more = {"plain": {}, "buffered": {"buffer": True}, "inductive": {"inductive": True}}[kind]
    loops = loops_of(lower(drawn(seed, strength=1.2, **more)))
    BC = loops.B @ loops.C
    A0 = loops.A - BC
    below, above = gain_crossings(loops)
    assert below is None
    ks = np.geomspace(1.0, 1e3, 4000)
    unstable = [k for k in ks if np.linalg.eigvals(A0 + k * BC).real.max() > 0]
    assert (above is None) == (not unstable)
    if above is not None:
        assert unstable[0] / 1.002 < above.at < unstable[0] * 1.002
        assert abs(np.linalg.eigvals(A0 + above.at * BC).real.max()) < 1e-9
    late = delay_crossing(loops)
    if late is None:  # whatever the phase, no mode lies on the axis
        assert max(np.linalg.eigvals(A0 + np.exp(1j * t) * BC).real.max() for t in np.linspace(0, 6.3, 700)) < 0
        return
    delay = late.at / loops.time
    for share in (0.05, 0.3, 0.6, 0.9, 0.999):
        assert rightmost(A0, BC, share * delay) < 0
    assert abs(rightmost(A0, BC, delay)) < 1e-6
    assert rightmost(A0, BC, 1.001 * delay) > 0


def test_some_of_these_have_each_margin():
    found = [loops_of(lower(drawn(seed, strength=1.2))) for seed in range(4)]
    assert {delay_crossing(each) is None for each in found} == {True, False}


def test_open_loops_are_the_circuit_without_its_transconductors():
    """Buffers and output conductances stay: ``A - B C`` has the modes of the device without couplings."""
    detail = Detail(buffer={"bandwidth": 3e5}, transconductor={"output_conductance": 0.1})
    device = rotating(0.7 * G, detail=detail)
    loops = loops_of(lower(device))
    g = G + 0.07 * G
    expected = [-g / C, -g / C, -2 * np.pi * 3e5, -2 * np.pi * 3e5]
    assert np.sort(np.linalg.eigvals(loops.A - loops.B @ loops.C).real / loops.time) == near(np.sort(expected), 1e-9)


def test_ngspice_stands_still_at_the_margin_of_delay(tmp_path):
    """Two cells with matched lossless lines in both paths: below the margin oscillations decay, above it they grow."""
    if shutil.which("ngspice") is None:
        pytest.skip("ngspice is not installed")
    g = 2.5 * G
    margin = spu.stability(rotating(g)).delay
    growth = {}
    for share in (0.9, 1.1):
        delay = share * margin.at
        period = 1 / margin.frequency
        lines = ["two cells with delays", f"ca a 0 {C} ic=1", f"ra a 0 {1 / G}", f"cb b 0 {C} ic=0", f"rb b 0 {1 / G}"]
        for start, end, sign in (("b", "a", 1), ("a", "b", -1)):
            lines += [
                f"e{start} {start}1 0 {start} 0 2",
                f"rs{start} {start}1 {start}2 50",
                f"t{start} {start}2 0 {start}3 0 z0=50 td={delay}",
                f"rl{start} {start}3 0 50",
                f"g{start} {end} 0 {start}3 0 {sign * g}",
            ]
        lines += [
            ".control",
            f"tran {delay / 40} {40 * period} 0 {delay / 40} uic",
            f"meas tran early max v(a) from={10 * period} to={15 * period}",
            f"meas tran late max v(a) from={35 * period} to={40 * period}",
            "echo RESULT $&early $&late",
            "quit",
            ".endc",
            ".end",
        ]
        deck = tmp_path / "delay.cir"
        deck.write_text("\n".join(lines) + "\n")
        out = subprocess.run(["ngspice", "-b", deck], capture_output=True, text=True, timeout=60, check=False).stdout
        early, late = next(line for line in out.splitlines() if line.startswith("RESULT")).split()[1:]
        growth[share] = float(late) / float(early)
    assert growth[0.9] < 0.5
    assert growth[1.1] > 2.0


# Mismatch


def test_derivatives_are_those_of_the_decay():
    device = drawn(1, buffer=True)
    elements = elements_of(device)
    found = spu.stability(device)
    assert found.worst_case is not None
    for name, value in found.sensitivities:
        ends = []
        for change in (1e-5, -1e-5):
            factors = np.ones(len(elements))
            factors[elements.number(name)] += change
            ends.append(spu.decay_rate(varied(device, factors, elements)))
        first = (ends[0] - ends[1]) / 2e-5
        # Of the mode that comes first under mismatch, which is the slowest one here.
        assert value == pytest.approx(first, rel=1e-5, abs=1e-6 * found.decay), name


def test_distance_and_boards_of_one_cell():
    """``G (1 + x) > g (1 + y)``: a board of two normal errors, whose share beyond the axis is known."""
    tolerance = spu.Tolerance(cell={"conductance": 0.03, "active_conductance": 0.04})
    device = one_cell(-0.95 * G, tolerance=tolerance)
    found = spu.stability(device, draws=2000, seed=3)
    sigma = np.hypot(0.03, 0.95 * 0.04)
    assert found.distance == near(0.05 / sigma, 1e-6)
    assert found.worst_case == near(0.05 / 1.95 / 1.0, 0.1)  # the capacitance moves the rate, too: to first order 5 %
    from scipy.stats import norm

    expected = norm.sf(0.05 / sigma)
    # Of 2,000: five standard errors (6 false alarms in 1e7).
    assert abs(found.probability - expected) < 5 * np.sqrt(expected * (1 - expected) / 2000)
    low, high = found.interval
    assert low < found.probability < high
    assert high - low == near(2 * 1.96 * np.sqrt(expected * (1 - expected) / 2000), 0.1)


def test_boards_are_counted_by_their_modes():
    device = spu.compile([[2.0, 0.9, -0.7], [0.9, 1.0, 0.2], [-0.7, 0.2, 1.0]], architecture="rc-transconductor")
    device.tolerance = spu.Tolerance(cell={"conductance": 0.2}, coupler={"transconductance": 0.2})
    elements = elements_of(device)
    factors = draw_factors(elements, device.tolerance, 40, 5)
    grow = [spu.decay_rate(varied(device, row, elements)) <= 0 for row in factors]
    assert 0 < sum(grow) < 40
    assert spu.stability(device, draws=40, seed=5).probability == sum(grow) / 40


def test_process_moves_all_of_a_quantity():
    """What all conductances share counts once, what each has of its own by the root of their number."""
    apart = rotating(0.1 * G, tolerance=spu.Tolerance(cell={"conductance": 0.02}))
    shared = rotating(0.1 * G, tolerance=spu.Tolerance(cell={"conductance": spu.Spread(process=0.02)}))
    ratio = spu.stability(apart, draws=1).distance / spu.stability(shared, draws=1).distance
    assert ratio == near(np.sqrt(2), 1e-6)


def test_a_device_that_is_unstable_has_no_margin():
    found = spu.stability(one_cell(-2 * G))
    assert not found.stable
    assert found.decay == near(-G / C, 1e-12)
    assert (found.gain, found.delay, found.probability) == (None, None, None)
    assert str(found).startswith("unstable: a mode grows by e in 1 us")
    assert "a mode grows" in found.why


# Doors


def test_the_command_line_says_it(tmp_path):
    rotating(2.5 * G, tolerance=spu.Tolerance(cell={"conductance": 0.05})).write(tmp_path / "device.json")
    shown = CliRunner().invoke(cli, ["inspect", str(tmp_path), "--stability"])
    assert shown.exit_code == 0, shown.output
    for words in (
        "stable: the slowest mode decays",
        "margins of its 2 transconductors",
        "delay",
        "standard deviations",
    ):
        assert words in shown.output
    data = json.loads(CliRunner().invoke(cli, ["inspect", str(tmp_path), "--stability", "--json"]).stdout)["stability"]
    assert data["stable"] is True
    assert data["delay"] == near(spu.stability(rotating(2.5 * G)).delay.at, 1e-12)
    assert data["interval"][0] <= data["probability"] <= data["interval"][1]


def test_a_netlist_has_margins_too(tmp_path):
    device = rotating(2.5 * G)
    (tmp_path / "device.cir").write_text(spu.netlist(device))
    found = spu.stability(spu.read_netlist(tmp_path / "device.cir"))
    assert found.delay.at == near(spu.stability(device).delay.at, 1e-6)


def test_what_has_no_meaning_is_refused():
    network = spu.ThermodynamicNetwork(J2=1.0, J4=1.0, input=[0.5, -0.5], couplings=[[0.0, 0.2], [0.2, 0.0]])
    with pytest.raises(UsageError, match="of linear devices"):
        spu.stability(spu.compile(network))
    with pytest.raises((UsageError, InputError), match="draws is 0"):
        spu.stability(one_cell(-G / 2), draws=0)

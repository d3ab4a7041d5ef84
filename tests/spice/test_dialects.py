"""Netlists for other simulators: their grammar, their circuit, and the verbs that write them.

The grammars are `dialect_grammars`, written from the manuals. What Xyce's says of the circuit is also run: by
ngspice, which reads that dialect but for two commands.
"""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from dialect_grammars import GRAMMARS, GrammarError
from helpers import BOLTZMANN, Nodal, T, difference, frustrated, m_matrix, near, random_device, rlc_pair

import spu
from spu.circuit.elements import Resistor
from spu.cli import cli
from spu.spice.dialects import DIALECTS

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = list(GRAMMARS)  # VACASK itself runs: test_vacask.py

DEVICES = {
    "rlc": rlc_pair(),
    "rlc at T": rlc_pair(T),
    "random": random_device(np.random.default_rng(1), 5, temperature=T, transconductors=True),
    "random at 0 K": random_device(np.random.default_rng(2), 5, temperature=0.0, transconductors=True),
    "dual": spu.compile(
        spu.GaussianSampling(precision=frustrated(np.random.default_rng(0), 3) + 2 * np.eye(3)),
        architecture="rlc-capacitive-dual",
    ),
    "transconductors": spu.compile(spu.GaussianSampling(precision=frustrated(np.random.default_rng(0), 4))),
    "linear": spu.compile(spu.LinearSystem(matrix=m_matrix(np.random.default_rng(0), 3), vector=[1.0, 2.0, 3.0])),
    "shared noise": spu.compile(spu.LyapunovEquation([[1.0, 2.0], [-2.0, 1.5]], [[1.0, -0.5], [-0.5, 0.8]])),
    "spu8": spu.compile(spu.GaussianSampling(precision=m_matrix(np.random.default_rng(0), 8, 10.0)), hardware="spu8"),
}


def matrices(deck, cells, temperature):
    """(C, G, inverse inductance, density of the noise currents, bias) over the nodes cell_NAME."""
    n = len(cells)
    index = {f"cell_{name}": k for k, name in enumerate(cells)}
    C, G, inverse, density, bias = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n)), np.zeros(n)
    driven: dict[str, np.ndarray] = {}

    def unit(node):
        return np.eye(n)[index[node]] if node in index else np.zeros(n)

    for element in deck.elements:
        across = unit(element.nodes[0]) - unit(element.nodes[1])
        if element.letter == "c":
            C += element.value * np.outer(across, across)
        elif element.letter == "l":
            inverse += np.outer(across, across) / element.value
        elif element.letter == "r":
            G += np.outer(across, across) / element.value
            if not element.silent:
                density += 4 * BOLTZMANN * temperature / element.value * np.outer(across, across)
        elif element.letter == "i":
            bias -= element.value * across
        elif element.letter == "g" and element.nodes[2] in index:
            G += element.value * np.outer(across, unit(element.nodes[2]) - unit(element.nodes[3]))
        elif element.letter == "g":
            node = element.nodes[2]
            driven[node] = driven.get(node, np.zeros(n)) - element.value * across
    rn = {e.nodes[1]: e.value for e in deck.elements if e.letter == "r" and e.nodes[1].startswith(("n_", "w_"))}
    for node, vector in driven.items():
        if node in rn:  # heard by .noise; the sources of the others are for .tran
            density += 4 * BOLTZMANN * temperature * rn[node] * np.outer(vector, vector)
    return C, G, inverse, density, bias


@pytest.mark.parametrize("dialect", FOREIGN)
@pytest.mark.parametrize("name", DEVICES)
def test_the_circuit_is_the_device(name, dialect):
    """Read by its grammar and stamped by hand, each netlist has the device's matrices and its noise."""
    device = DEVICES[name]
    deck = GRAMMARS[dialect].read(spu.netlist(device, dialect=dialect))
    hot = device.temperature > 0
    temperature = device.temperature if hot else 300.15
    assert float(deck.options["temp"]) == near(temperature - 273.15, 1e-9)
    nodal = Nodal(device)
    C, G, inverse, density, bias = matrices(deck, [cell.name for cell in device.cells], temperature)
    assert difference(C, nodal.C) < 1e-13
    assert difference(G, nodal.G) < 1e-13
    expected = sum((np.outer(u, u) / l for u, l in nodal.inductors), np.zeros_like(C))
    assert inverse == pytest.approx(expected, rel=1e-13, abs=1e-13 * np.abs(expected).max())
    assert difference(density, nodal.density) < 1e-12
    assert bias == near(nodal.bias, 1e-13)
    own = [e for e in deck.elements if e.letter == "r" and not e.nodes[1].startswith(("n_", "w_"))]
    assert all(element.silent == (not hot) for element in own)


@pytest.mark.parametrize("name", ["club8", "fin", "shared_noise", "wine"])
@pytest.mark.parametrize("dialect", FOREIGN)
def test_shipped_netlists_keep_to_their_grammar(name, dialect):
    deck = GRAMMARS[dialect].read((ROOT / "netlists" / "dialects" / f"{name}{DIALECTS[dialect].ending}").read_text())
    assert len(deck.elements) > 8
    wanted = deck.commands["noise" if dialect == "spectre" else ".noise"]
    cells = sum(name.startswith("xcell_") and name.endswith(".c1") for name in (e.name for e in deck.elements))
    if dialect == "spectre":
        assert len(wanted) == cells and len(deck.commands["tran"]) == 1
    else:
        (step,) = deck.commands[".step"]
        assert len(wanted) == 1 and step.endswith(f"sel 1 {cells} 1")


@pytest.mark.parametrize(
    ("dialect", "old", "new"),
    [
        ("ltspice", "params: ", ""),
        ("ltspice", "{c}", "c"),
        ("ltspice", "c1 a b {c}", "c1 a b {c} noisy=0"),
        ("ltspice", "coupler_c c=", "coupler_d c="),
        ("ltspice", "+ +v(", "+v("),
        ("xyce", "coupler_c params:", "coupler_c"),
        ("xyce", ".global_param sel=1", ".param sel=1"),
        ("xyce", "c1 a b {c}", "c1 a b {c} noiseless"),
        ("xyce", "c1 a b {c}", "c1 a z {c}"),
        ("xyce", "{sqrt(sn)/en}", "{sqrt(sn)/em}"),
        ("spectre", "simulator lang=spectre\n", ""),
        ("spectre", "vccs gm=", "vccs gain="),
        ("spectre", "(a b) capacitor", "(a b 0) capacitor"),
        ("spectre", "ends coupler_c", ".ends coupler_c"),
        ("spectre", "sqrt(sn)/en", "{sqrt(sn)/en}"),
    ],
)
def test_the_grammars_can_refuse(dialect, old, new):
    """The readers above are worth something: a slip of another dialect's is seen."""
    text = spu.netlist(rlc_pair(), dialect=dialect)
    GRAMMARS[dialect].read(text)
    assert old in text
    with pytest.raises(GrammarError):
        GRAMMARS[dialect].read(text.replace(old, new))


def test_ltspice_makes_white_noise():
    """rand() is uniform on 0 to 1: sampled and held every ts, of density 2 variance ts; no two sources alike."""
    device = DEVICES["rlc at T"]
    deck = GRAMMARS["ltspice"].read(spu.netlist(device, dialect="ltspice"))
    en, ts = deck.parameters["en"], deck.parameters["ts"]
    noise = [element for element in deck.elements if element.letter == "b" and element.nodes[0] != "probe"]
    assert len(noise) == 5  # two resistors of cells, one of the coupler, two injected
    for element in noise:  # evaluated with rand() = 1, half of the range
        assert 2 * ((2 * element.value) ** 2 / 12) * ts == near(en**2, 1e-12)
    offsets = sorted(map(float, deck.commands["rand"]))
    stop = float(re.search(r"^\* \.tran 0 (\S+)", spu.netlist(device, dialect="ltspice"), re.MULTILINE)[1])
    assert min(np.diff(offsets)) > stop / ts
    other = GRAMMARS["ltspice"].read(spu.netlist(device, dialect="ltspice", seed=3))
    assert not set(offsets) & set(map(float, other.commands["rand"]))


def test_spectre_hears_resistors_in_transients():
    """No source stands beside a resistor that is noisy in tran already: the noise would count twice."""
    text = spu.netlist(DEVICES["rlc at T"], dialect="spectre")
    assert "vn_a" in text and "t_a" not in text and "kt4" not in text
    found = re.search(r"strobeperiod=(\S+) \\\n  method=trap noisefmax=(\S+) noiseseed=(\d+)", text)
    assert float(found[2]) == near(1 / (2 * float(found[1])), 1e-12)


def xyce_as_ngspice(text, cell):
    """Xyce's netlist with its two own commands written as ngspice does, measuring one cell."""
    text = text.replace(".global_param sel=1", f".param sel={cell}")
    text = re.sub(r"^\.step .*\n|^\.print .*\n|^\.options .*\n", "", text, flags=re.MULTILINE)
    temp = ".options temp=26.85\n"
    found = re.search(r"^\.(noise v\(probe\) .*)\n", text, re.MULTILINE)
    control = f".control\nset sqrnoise\n{found[1]}\nsetplot noise1\nlet t = integ(onoise_spectrum)\n"
    control += "let found = t[length(t)-1]\necho RESULT $&found\nquit\n.endc\n"
    return text.replace(found[0], temp + control)


@pytest.mark.parametrize("name", ["rlc at T", "random at 0 K"])
def test_xyce_measures_the_variance(name, tmp_path):
    """Run: the selected cell's noise on node probe integrates to its variance, silent resistors being silent."""
    device = DEVICES[name]
    law = spu.predict(device).voltage_covariance
    text = spu.netlist(device, dialect="xyce")
    for k in (1, 2):
        deck = xyce_as_ngspice(text, k)
        if not device.temperature:
            deck = deck.replace("temp=26.85", "temp=27")
        (tmp_path / "deck.cir").write_text(deck)
        done = subprocess.run(
            ["ngspice", "-n", "-b", "deck.cir"],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        found = re.search(r"^RESULT (\S+)", done.stdout, re.MULTILINE)
        assert found, done.stdout + done.stderr
        assert abs(float(found[1]) / law[k - 1, k - 1] - 1) < 5e-3  # its rule is plain trapezoid


def test_controlled_sources_and_mutual_inductors():
    """Elements that no cell holds yet: each dialect's line."""
    lines = {
        "e1": (("p", "n", "a", "b"), ()),
        "f1": (("p", "n"), ("v1",)),
        "h1": (("p", "n"), ("v1",)),
        "v1": (("p", "n"), ()),
        "k1": ((), ("l1", "l2")),
    }
    found = {name: [d.element(e, nodes, "2*x", b) for e, (nodes, b) in lines.items()] for name, d in DIALECTS.items()}
    spice = ["e1 p n a b {2*x}", "f1 p n v1 {2*x}", "h1 p n v1 {2*x}", "v1 p n dc {2*x}", "k1 l1 l2 {2*x}"]
    assert found["ngspice"] == found["ltspice"] == found["xyce"] == spice
    assert found["spectre"] == [
        "e1 (p n a b) vcvs gain=2*x",
        "f1 (p n) cccs gain=2*x probe=v1",
        "h1 (p n) ccvs rm=2*x probe=v1",
        "v1 (p n) vsource dc=2*x",
        "k1 mutual_inductor coupling=2*x ind1=l1 ind2=l2",
    ]


def test_an_element_does_not_know_its_dialect():
    silent = Resistor("r1", ("a", "b"), "r")
    found = [silent.spice(dialect) for dialect in DIALECTS.values()]
    assert found == [
        ["r1 a b {r} noisy=0"],
        ["gr1 a b a b {1/(r)}"],
        ["gr1 a b a b {1/(r)}"],
        ["r1 (a b) resistor r=r isnoisy=no"],
        ["r1 (a b) resistor r=r noisy=0"],
    ]


# --- the verbs -----------------------------------------------------------------------------


def run(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("2,-0.51,-0.3\n-0.51,1.3,-0.22\n-0.3,-0.22,1.7\n")
    return tmp_path


ENDINGS = {"device.ltspice.cir": "ltspice", "device.spectre.scs": "spectre"}


def compile_two(hardware="ideal"):
    options = [word for name in ENDINGS.values() for word in ("--dialect", name)]
    return run("compile", "a.csv", "--hardware", hardware, "--rounding", "nearest", "-o", "out", *options)


def test_compile_writes_dialects_beside(home):
    assert compile_two().exit_code == 0
    stored = json.loads(Path("out/problem.json").read_text())["compiled"]["files"]
    assert set(stored) == {"device.json", "device.cir", *ENDINGS}
    for file, dialect in ENDINGS.items():
        GRAMMARS[dialect].read(Path("out", file).read_text())
    # What was not asked for this time would be out of date.
    assert run("compile", "a.csv", "-o", "out", "--dialect", "xyce").exit_code == 0
    written = {"device.json", "device.cir", "problem.json", "device.xyce.cir"}
    assert {path.name for path in Path("out").iterdir()} == written


@pytest.mark.parametrize("file", ENDINGS)
def test_a_dialect_edited_by_hand_is_kept(home, file):
    assert compile_two().exit_code == 0
    Path("out", file).write_text(Path("out", file).read_text() + "\n")
    again = run("compile", "a.csv", "-o", "out")
    assert again.exit_code == 2 and f"{file}: was edited by hand" in again.stderr
    assert run("compile", "a.csv", "-o", "out", "--force").exit_code == 0
    assert not Path("out", file).exists()


def test_check_says_that_only_the_netlist_for_ngspice_is_looked_at(home):
    assert compile_two().exit_code == 0
    done = run("check", "out", "--level", "answer", "--json")
    assert json.loads(done.stdout)["notes"] == [
        "the netlists for ltspice, spectre were not looked at: spu export writes them anew"
    ]
    assert run("compile", "a.csv", "-o", "out").exit_code == 0
    assert json.loads(run("check", "out", "--level", "answer", "--json").stdout)["notes"] == []


def test_program_writes_them_anew(home):
    assert compile_two("spu8").exit_code == 0
    before = {file: Path("out", file).read_text() for file in ENDINGS}
    assert run("program", "out", "--export", "codes.csv").exit_code == 0
    table = Path("codes.csv").read_text().splitlines()
    row = next(k for k, line in enumerate(table) if ",cell," in line)
    first, _, code = table[row].rpartition(",")
    table[row] = f"{first},{int(code) + 1}"
    Path("codes.csv").write_text("\n".join(table) + "\n")
    assert run("program", "out", "codes.csv").exit_code == 0
    for file, dialect in ENDINGS.items():
        text = Path("out", file).read_text()
        assert text != before[file]
        assert spu.Device.read("out/device.json").hash in text
        GRAMMARS[dialect].read(text)
    assert run("program", "out", "codes.csv").exit_code == 0  # and their hashes are known


def test_ensembles_have_one_netlist_a_programming(home):
    done = run("compile", "a.csv", "--hardware", "spu8", "-o", "out", "--ensemble", 2, "--dialect", "xyce")
    assert done.exit_code == 0
    texts = [Path(f"out/device{k}.xyce.cir").read_text() for k in ("", ".2")]
    assert texts[0] != texts[1]
    assert run("export", "out", "--programming", 2, "--dialect", "xyce", "-o", "two.cir").exit_code == 0
    texts.append(Path("two.cir").read_text())
    instances = [[line for line in text.splitlines() if line[:1] == "x"] for text in texts]
    assert instances[0] != instances[1] == instances[2]
    refused = run("export", "out", "--programming", 3)
    assert refused.exit_code == 2 and "has 2 programmings" in refused.stderr


def test_export(home):
    assert run("compile", "a.csv", "-o", "out").exit_code == 0
    assert run("export", "out").stdout == Path("out/device.cir").read_text()
    for dialect in DIALECTS:
        text = run("export", "out", "--dialect", dialect).stdout
        assert run("export", "out", "--dialect", dialect, "-o", f"{dialect}.cir").exit_code == 0
        assert Path(f"{dialect}.cir").read_text() == text
        found = json.loads(run("export", "out", "--dialect", dialect, "--json").stdout)
        assert (found["dialect"], found["file"], found["netlist"]) == (dialect, None, text)
    over = run("export", "out", "-o", "xyce.cir")
    assert over.exit_code == 2 and "is there already" in over.stderr
    assert run("export", "out", "-o", "xyce.cir", "--force").exit_code == 0


@pytest.mark.parametrize("args", [("export", "out"), ("compile", "a.csv", "-o", "new")])
def test_unknown_dialects(home, args):
    run("compile", "a.csv", "-o", "out")
    refused = run(*args, "--dialect", "spice3")
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1 and "no dialect 'spice3'" in refused.stderr and "xyce" in refused.stderr
    assert not Path("new").exists()

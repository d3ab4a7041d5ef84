"""How a run ends: signals at any time, streams that fail, exceptions nobody foresaw, numbers beyond all bounds."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.base.errors import InternalError, NumericalFailure, SpuError, as_refusal
from spu.base.sparse import to_fields
from spu.cli import cli

CSV = "x,y,z\n2,-0.5,0.3\n-0.5,1.5,0.2\n0.3,0.2,1\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    home = tmp_path_factory.mktemp("base")
    (home / "a.csv").write_text(CSV)
    assert CliRunner().invoke(cli, ["compile", str(home / "a.csv"), "-o", str(home / "out")]).exit_code == 0
    return home


@pytest.fixture(autouse=True)
def _here(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base / "out", "out")
    shutil.copy(base / "a.csv", "a.csv")
    Path("scratch").mkdir()


def command(*arguments, before=""):
    return [sys.executable, "-c", f"{before}\nimport spu.cli; spu.cli.main()", *map(str, arguments)]


def start(*arguments, before="", **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {**os.environ, "TMPDIR": str(Path("scratch").resolve())}
    return subprocess.Popen(command(*arguments, before=before), text=True, env=environment, **pipes)


def finish(process):
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def run(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def assert_nothing_left():
    assert [path.name for path in Path("scratch").iterdir() if path.name.startswith("spu-")] == []
    assert [str(path) for path in Path.cwd().rglob(".spu*")] == []


# --- signals -------------------------------------------------------------------------------

AT_IMPORT = """
import os, signal, sys
count = 0
def hook(event, arguments):
    global count
    if event == "import" and "spu.cli.ending" in sys.modules:
        count += 1
        if count == {}:
            for _ in range({}):
                os.kill(os.getpid(), signal.{})
sys.addaudithook(hook)
"""
"""Sends signals while a module is being imported, once those before it are; the first are our own."""


@pytest.mark.parametrize(("place", "twice"), [(6, 1), (60, 2), (150, 1), (230, 1), (300, 2), (420, 1), (500, 2)])
@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupt_in_the_middle_of_imports(place, twice, as_json):
    """Half of numpy is there, say: nothing that needs it is asked for."""
    options = ("--json",) if as_json else ()
    before = AT_IMPORT.format(place, twice, "SIGINT")
    status, stdout, stderr = finish(start("predict", "out", *options, before=before))
    assert status == 130
    if as_json:
        assert stderr == "" and stdout.count("\n") == 1
        assert json.loads(stdout)["error"]["kind"] == "interrupted"
    else:
        assert (stdout, stderr) == ("", "interrupted\n")


def test_a_signal_in_an_import_is_a_termination():
    status, stdout, stderr = finish(start("predict", "out", before=AT_IMPORT.format(200, 1, "SIGTERM")))
    assert (status, stdout, stderr) == (143, "", "terminated\n")


VERBS = [
    ("compile", "a.csv", "-o", "new"),
    ("compile", "a.csv", "-o", "out"),
    ("simulate", "out", "--samples", "20000"),
    ("check", "out", "--level", "op", "--level", "ac"),
    ("import", "out/device.cir", "-o", "imported"),
]


def test_signals_at_random_times():
    """Of either kind, once or twice, after 0.1 to 1.2 s: one whole object, one of three statuses, nothing left."""
    rng = random.Random(7)
    for _ in range(6):
        verb, number = rng.choice(VERBS), rng.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM])
        process = start(*verb, "--json")
        time.sleep(rng.uniform(0.1, 1.2))
        for _ in range(rng.choice([1, 2])):
            if _ready(process.pid):
                process.send_signal(number)
        status, stdout, stderr = finish(process)
        told = (verb, number, status, stdout, stderr)
        assert status in (0, 130 if number == signal.SIGINT else 143), told
        assert stderr == "" and stdout.count("\n") == 1 and isinstance(json.loads(stdout), dict), told
        assert_nothing_left()


def _ready(pid):
    """Whether a process has our handlers: that of SIGTERM comes last, and Python has none of its own."""
    try:
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(("number", "status", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
@pytest.mark.parametrize("whom", ["process", "group"])
def test_no_child_outlives_a_signal(number, status, word, whom):
    process = start("check", "out", "--level", "noise", "--budget", "60s", "--json", start_new_session=True)
    children = []
    until = time.monotonic() + 60
    while not children and time.monotonic() < until:
        time.sleep(0.05)
        children = _children(process.pid)
    time.sleep(0.3)
    children = _children(process.pid)
    assert children
    (os.kill if whom == "process" else os.killpg)(process.pid, getattr(signal, number))
    found, stdout, _ = finish(process)
    assert found == status
    assert json.loads(stdout)["error"]["kind"] == word
    assert not any(_lives(pid) for pid in children)
    assert_nothing_left()


LONG = """
from spu.spice.simulators.ngspice import Step, run
deck = "* t\\nv1 a 0 sin(0 1 1k)\\nr1 a b 1k\\nc1 b 0 1n\\n.end\\n"
run(deck, [Step(("tran 1n 1000",), "tran", ("time",))], time_limit=500.0)
"""
"""A transient that would take hours."""


def test_no_child_outlives_a_kill():
    environment = {**os.environ, "TMPDIR": str(Path("scratch").resolve())}
    process = subprocess.Popen([sys.executable, "-c", LONG], env=environment)
    children = []
    until = time.monotonic() + 60
    while not children and time.monotonic() < until:
        time.sleep(0.05)
        children = _children(process.pid)
    time.sleep(1.0)  # until it is a Python of its own, and at work
    process.kill()
    process.wait(timeout=60)
    until = time.monotonic() + 10
    while any(map(_lives, children)) and time.monotonic() < until:
        time.sleep(0.02)
    living = list(filter(_lives, children))
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    assert children and not living
    assert list(Path("scratch").glob("spu-ngspice-*"))  # it could not
    subprocess.run(command("predict", "out"), env=environment, check=True, capture_output=True, timeout=60)
    assert_nothing_left()


def _children(pid):
    """Children of all threads of a process."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return []


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_result_is_printed_whole():
    """Ctrl-C comes while the object is written, to a reader that takes its time: it is the only one, and whole."""
    before = """
import os, signal, sys
import spu.cli.ending as ending
class Slow(ending._Output):
    def write(self, data):
        os.kill(os.getpid(), signal.SIGINT)
        part = bytes(data)[:7]
        return super().write(part)
ending._Output = Slow
"""
    status, stdout, stderr = finish(start("predict", "out", "--json", before=before))
    assert (status, stderr) == (130, "")
    assert "covariance" in json.loads(stdout)


def test_signals_that_were_ignored_stay_so():
    """As under nohup."""
    before = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGINT)"
    process = start("predict", "out", before=before)
    status, stdout, _ = finish(process)
    assert status == 0 and "variable" in stdout


# --- streams -------------------------------------------------------------------------------

CLOSED = {"stdout": ">&-", "full": ">/dev/full", "stderr": "2>&-", "full stderr": "2>/dev/full", "all": "<&- >&- 2>&-"}


@pytest.mark.parametrize(("how", "status"), [("stdout", 2), ("full", 2), ("stderr", 0), ("full stderr", 0), ("all", 2)])
@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.sampled(2)
def test_streams_that_fail(how, status, options):
    found = shell("predict", "out", *options, CLOSED[how])
    assert found.returncode == status, found
    if how in ("stdout", "full"):
        assert re.fullmatch(r"error: standard output: cannot be written: [A-Za-z ]+\n", found.stderr), found.stderr
    else:
        assert found.stderr == "" and ("covariance" in found.stdout) == (status == 0)


@pytest.mark.parametrize("redirection", [">/dev/full", "2>/dev/full", ">&- 2>&-"])
def test_a_refusal_that_nobody_can_hear(redirection):
    found = shell("predict", "missing", "--json", redirection)
    assert found.returncode == 2 and "Traceback" not in found.stderr


def shell(*arguments):
    """Run a command line with a redirection, the last of the arguments, as a shell does."""
    words = " ".join(f"'{word}'" for word in command(*arguments[:-1]))
    return subprocess.run(
        ["sh", "-c", f"{words} {arguments[-1]}"], capture_output=True, text=True, timeout=60, check=False
    )


def test_nobody_reads_a_refusal():
    process = start("predict", "missing", "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_what_an_encoding_lacks_is_escaped():
    name = os.fsdecode(b"caf\xe9")
    Path("out").rename(name)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    arguments = ("report", name, "--level", "ideal", "--samples", "100")
    found = subprocess.run(command(*arguments), env=environment, capture_output=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    assert b"caf" in found.stdout


# --- exceptions ----------------------------------------------------------------------------


def _raise(error):
    def fail(*_args, **_kwargs):
        raise error

    return fail


def test_a_bug_is_an_internal_error(monkeypatch):
    monkeypatch.setattr("spu.emulator.predict.predict", _raise(TypeError("unsupported operand\nof two lines")))
    result = run("predict", "out")
    assert (result.exit_code, result.stdout) == (70, "")
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    for words in (spu.__version__, "TypeError: unsupported operand of two lines", "report it", "SPU_TRACEBACK=1"):
        assert words in result.stderr
    result = run("predict", "out", "--json")
    assert result.exit_code == 70 and result.stderr == ""
    assert json.loads(result.stdout)["error"]["kind"] == "internal"
    monkeypatch.setenv("SPU_TRACEBACK", "1")
    result = run("predict", "out", "--json")
    assert result.exit_code == 70 and "Traceback" in result.stderr
    assert json.loads(result.stdout)["error"]["kind"] == "internal"


def test_a_message_is_short(monkeypatch):
    monkeypatch.setattr("spu.emulator.predict.predict", _raise(KeyError("x" * 100_000)))
    result = run("predict", "out")
    assert result.exit_code == 70 and len(result.stderr) < 450


def _overflow():
    return float(10**400)


def _digits():
    return str(10**5000)


def _recursion():
    return _recursion()


FAILURES = {
    "overflow": (_overflow, "numerical"),
    "digits": (_digits, "numerical"),
    "division": (lambda: 1 / 0, "numerical"),
    "singular": (lambda: np.linalg.inv(np.zeros((2, 2))), "numerical"),
    "nan": (lambda: int(float("nan")), "numerical"),
    "infinite": (lambda: int(float("inf")), "numerical"),
    "domain": (lambda: __import__("math").sqrt(-1), "numerical"),
    "scipy": (lambda: __import__("scipy.linalg").linalg.cholesky([[np.inf]]), "numerical"),
    "floating point": (lambda: np.float64(1e308) * 10, "numerical"),
    "division of arrays": (lambda: np.ones(2) / np.zeros(2), "numerical"),
    "invalid": (lambda: np.sqrt(-np.ones(2)), "numerical"),
    "recursion": (_recursion, "input"),
    "encoding": (lambda: "\udce9".encode(), "input"),
    "decoding": (lambda: b"\xe9".decode(), "input"),
    "memory": (lambda: np.empty(2**55), "memory"),
    "file": (lambda: Path("missing").read_bytes(), "system"),
    "index": (lambda: [][1], "internal"),
    "value": (lambda: int("x"), "internal"),
    "assertion": (lambda: _raise(AssertionError())(), "internal"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_every_exception_is_one_line(name, monkeypatch):
    fail, kind = FAILURES[name]
    monkeypatch.setattr("spu.emulator.predict.predict", lambda *_, **__: fail())
    result = run("predict", "out", "--json")
    assert result.stderr == "" and result.exit_code == (70 if kind == "internal" else 2)
    assert json.loads(result.stdout)["error"]["kind"] == kind
    assert "\n" not in json.loads(result.stdout)["error"]["message"]


def test_a_failure_says_where():
    with pytest.raises(AttributeError) as caught:
        to_fields(object())
    assert isinstance(as_refusal(caught.value), InternalError)
    assert re.search(r"\(in spu\.[a-z.]+, line \d+\)", str(as_refusal(caught.value)))
    assert isinstance(as_refusal(ZeroDivisionError()), NumericalFailure)


def test_warnings_of_libraries_are_lines(monkeypatch):
    from spu.emulator.predict import predict

    def warning(*args, **kwargs):
        import warnings

        warnings.warn("of two\nlines", UserWarning, stacklevel=1)
        return predict(*args, **kwargs)

    monkeypatch.setattr("spu.emulator.predict.predict", warning)
    result = run("predict", "out", "--json")
    assert (result.exit_code, result.stderr) == (0, "warning: of two lines\n")


# --- numbers beyond all bounds -------------------------------------------------------------

HUGE = "9" * 400
HARDWARE = """name = "h"
temperature = 0.0
architectures = ["{}"]
[cell]
capacitance = {{ nominal = 1e-9, bits = 10, lsb = {}, offset = 1.28e-10 }}
conductance = {{ nominal = {} }}
inductance = {{ nominal = 1e-5 }}
noise = {{ nominal = {} }}
[coupler]
capacitance = {{ bits = 8, lsb = 8e-12 }}
"""


def refused(*arguments):
    """The message of a refusal that says what is wrong, rather than that the net caught it."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "double precision" not in result.output and "internal" not in result.output
    assert result.stderr.count("\n") <= 2 and len(result.stderr) < 700
    return result.stderr


@pytest.mark.parametrize(
    ("lsb", "conductance", "noise", "words"),
    [
        (HUGE, "1e-3", "4e-20", "lsb is 9999"),
        ("1e307", "1e-3", "4e-20", "beyond any floating-point number"),
        ("1e-320", "1e-3", "4e-20", "capacitance"),
        ("8e-12", "1e308", "4e-20", "beyond floating-point numbers"),
        ("8e-12", HUGE, "4e-20", "too large for a floating-point number"),
        ("8e-12", "1e-3", "1e308", ""),
        ("8e-12", "1e-3", "1e-320", ""),
    ],
)
def test_extreme_hardware(lsb, conductance, noise, words):
    Path("h.toml").write_text(HARDWARE.format("rlc-capacitive", lsb, conductance, noise))
    Path("b.csv").write_text("2,-0.5\n-0.5,1.5\n")
    result = run("compile", "b.csv", "-o", "new", "--hardware", "h.toml")
    assert result.exit_code == 2 and words in result.stderr
    assert "internal" not in result.stderr and result.stderr.count("\n") <= 2


def test_a_range_that_no_bank_reaches():
    from spu.device.banks import Bank

    tiny = Bank(bits=4, lsb=1e-320, offset=0.0)
    assert tiny.within(0.0, 1e308) == (0, 15)
    first, last = tiny.within(1e300, 1e308)
    assert first > last
    first, last = Bank(bits=4, lsb=1e-320, offset=1.0).within(-1e308, 0.5)
    assert first > last


def test_whole_numbers_of_400_digits(tmp_path):
    for name in ("device.json", "problem.json"):
        file = Path("out", name)
        text = file.read_text()
        for number in ('"temperature": 300.15', '"predicted_relative_error": '):
            if number in text:
                key = number.split(":")[0]
                file.write_text(re.sub(rf"{key}: [-+.0-9e]+", f"{key}: {HUGE}", text, count=1))
                line = 1 + file.read_text().split(HUGE)[0].count("\n")
                assert f"out/{name}:{line}: a whole number of 400 digits" in refused("predict", "out")
        file.write_text(text)


def test_extreme_densities_of_a_netlist():
    deck = Path("d.cir")
    deck.write_text("* t\nr1 out in 1k\nc1 out 0 1n\nvin in 0 0\n.end\n")
    assert run("import", "d.cir", "--probe", "out", "--density", "vin=1e-16", "-o", "imported").exit_code == 0
    for value in (HUGE, "-1", "1e400", "NaN", "true"):
        file = Path("imported", "circuit.json")
        text = file.read_text()
        file.write_text(text.replace('"vin": 1e-16', f'"vin": {value}'))
        assert "imported/circuit.json" in refused("predict", "imported"), value
        file.write_text(text)
    with pytest.raises(SpuError, match="no density"):
        spu.read_netlist(deck, probes=["out"], densities={"vin": 10**400})


def test_values_whose_equations_overflow():
    """What only the reduced equations of a deck show: no warning before the refusal, and no traceback."""
    Path("d.cir").write_text(
        "* t\nr1 out 0 1e-150\nc1 out 0 1e-300\nl1 out 0 1e-250\nc2 out b 1e200\nr2 b 0 1e180\n.end\n"
    )
    for verb in ("predict", "inspect"):
        result = run(verb, "d.cir")
        assert result.exit_code in (0, 2) and result.stderr.count("\n") <= 2, result.output


def test_a_network_whose_unit_underflows():
    Path("n.toml").write_text('task = "network"\nunits = 1\nJ2 = 1.0\nJ4 = 1.0\nkT = 1e30\nhardware = "h.toml"\n')
    Path("h.toml").write_text(
        'name = "h"\ntemperature = 300.0\narchitectures = ["rc-conductance"]\n[cell]\n'
        "capacitance = { nominal = 1e-12 }\nconductance = { nominal = 1e-5 }\n"
        "noise = { nominal = 1e-300, min = 1e-300 }\n[coupler]\ntransconductance = { max = 1.0 }\n"
    )
    assert "beyond floating-point numbers" in refused("compile", "n.toml", "-o", "new")


def test_encodings_of_graphml():
    Path("g.graphml").write_bytes(b'<?xml version="1.0" encoding="klingon"?>\n<graphml/>')
    Path("h.toml").write_text('wiring = "g.graphml"\n' + HARDWARE.format("rlc-capacitive", "8e-12", "1e-3", "4e-20"))
    for encoding in (b"klingon", b"utf-7", b"utf-32", b"idna", b"hex"):
        Path("g.graphml").write_bytes(b'<?xml version="1.0" encoding="' + encoding + b'"?>\n<graphml/>')
        assert "g.graphml" in refused("compile", "a.csv", "-o", "new", "--hardware", "h.toml"), encoding


def test_an_asymmetry_below_the_smallest_float():
    Path("p.toml").write_text("precision = [[2.0, 0], [5e-324, 1.5]]\n")
    assert run("compile", "p.toml", "-o", "new").exit_code == 0


def test_a_time_limit_beyond_all_clocks():
    result = run("check", "out", "--level", "op", "--time-limit", "1e300")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "parts", ["bx qq 0 v = sgn(0.5-v(qq))*1e3\nrq qq {} 1k", "v1 qq 0 1\nv2 qq 0 2\ndx qq {} dm\n.model dm d"]
)
def test_an_edited_netlist_without_an_operating_point(parts):
    """ngspice then leaves vectors of no length."""
    text = Path("out/device.cir").read_text()
    Path("edited.cir").write_text(text.replace("\n.end\n", f"\n{parts.format('cell_x')}\n.end\n"))
    result = run("check", "out", "--netlist", "edited.cir", "--level", "answer", "--json")
    assert result.exit_code == 2 and result.stderr == ""
    level = json.loads(result.stdout)["levels"]["answer"]
    assert level["verdict"] == "error" and "ngspice's op lacks" in level["message"]

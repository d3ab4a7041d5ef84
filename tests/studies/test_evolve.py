"""Evolution: the genetic algorithm by hand-made cases, errors on known networks, the same numbers however it is run."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.studies.learning import evolve as module
from spu.studies.learning.evolve import PUBLISHED, EvolutionSettings, Layers, errors_of, evaluate, outputs, read_target
from spu.studies.learning.genetic import brood, changes, fittest, founders

TINY = {"layers": [3, 2], "population": 6, "keep": 2, "points": 4, "trajectories": 8, "step": 0.1, "deviation": 0.5}


@pytest.fixture(autouse=True)
def measured_little(monkeypatch):
    monkeypatch.setattr(module, "MEASURED", (8, 32))
    monkeypatch.setattr(module, "WATCHED", (4, 8))
    monkeypatch.setattr(module, "FINER", 2)


def same(a: spu.Evolution, b: spu.Evolution) -> bool:
    """The same bits of champion, history and what was measured."""
    parts = [
        (x.trained.network.couplings, x.trained.network.bias, x.trained.weights, x.trained.readout) for x in (a, b)
    ]
    arrays = [*zip(*parts, strict=True), (a.history, b.history), (a.y, b.y), (a.notch.error, b.notch.error)]
    return all(x.tobytes() == y.tobytes() for x, y in arrays) and (a.error, a.cold) == (b.error, b.cold)


# The genetic algorithm


def test_the_fittest_are_the_smallest_errors_and_no_number_loses():
    errors = np.array([3.0, np.nan, 1.0, -0.5, np.inf, 1.0])
    assert fittest(errors, 4).tolist() == [3, 2, 5, 0]


def test_parents_are_cloned_in_turn_and_all_clones_changed():
    parents = np.array([[10.0, 0.0], [20.0, 0.0]])
    deviations = np.array([0.1, 0.0])
    found = brood(parents, 7, elite=0, deviations=deviations, seed=3, generation=5)
    assert found.shape == (7, 2)
    assert np.round(found[:, 0], -1).tolist() == [10, 20, 10, 20, 10, 20, 10]
    assert (found[:, 0] != np.round(found[:, 0], -1)).all() and not found[:, 1].any()
    assert np.array_equal(found[:, 0] - np.round(found[:, 0], -1), (found - parents[np.arange(7) % 2])[:, 0])


def test_the_elite_goes_on_unchanged():
    parents = np.array([[1.0], [2.0]])
    found = brood(parents, 5, elite=1, deviations=np.ones(1), seed=0, generation=1)
    assert found[0] == 1.0 and (found[1:, 0] != 1.0).all() and (found[1:, 0] != 2.0).all()


def test_changes_are_those_of_a_generation_and_have_their_deviations():
    deviations = np.array([0.1, 2.0])
    found = changes(7, 1, 4000, deviations)
    assert np.array_equal(found, changes(7, 1, 4000, deviations))
    assert not (found[:100] == changes(7, 2, 4000, deviations)[:100]).any()
    assert not (found[:100] == changes(8, 1, 4000, deviations)[:100]).any()
    assert found.std(axis=0) == pytest.approx(deviations, rel=0.06)  # 5 standard errors
    assert np.array_equal(founders(7, 3, deviations), changes(7, 0, 3, deviations))


# Networks of layers


def test_layers_are_coupled_to_the_next_both_ways_and_to_no_other():
    layers = Layers(EvolutionSettings(layers=(2, 3, 1)))
    network, weights, readout = layers.network(np.arange(1.0, layers.length + 1))
    assert layers.length == 2 * 3 + 3 * 1 + 6 + 2 + 1
    belongs = np.array([0, 0, 1, 1, 1, 2])
    wanted = np.abs(belongs[:, None] - belongs) == 1
    assert np.array_equal(network.couplings != 0, wanted) and network.reciprocal
    assert network.couplings[0, 2:5].tolist() == [1, 2, 3] and network.couplings[2:5, 5].tolist() == [7, 8, 9]
    assert network.bias.tolist() == [10, 11, 12, 13, 14, 15]
    assert weights[:, 0].tolist() == [16, 17, 0, 0, 0, 0] and readout.tolist() == [0, 0, 0, 0, 0, 18]
    assert network.kT == 0.1


def test_changes_go_by_the_inverse_root_of_the_fan_in():
    scale = Layers(EvolutionSettings(layers=(4, 9, 2))).scale
    wanted = [*[4] * 36, *[9] * 18, *[1] * 15, *[1] * 4, *[2] * 2]
    assert scale == pytest.approx(np.array(wanted) ** -0.5)


def test_published_is_four_hundred_billion_neuron_steps_a_generation():
    settings = EvolutionSettings(**PUBLISHED)
    assert settings.neuron_steps * settings.trajectories * settings.population == 400_000_000_000


# Errors


def test_the_plateau_is_one_half():
    assert read_target("cosine", 12).plateau == pytest.approx(0.5)
    assert errors_of(np.zeros((250, 2)), read_target("cosine", 250).y)[0] == pytest.approx(0.5)


def test_errors_have_no_part_of_finitely_many_trajectories_and_honest_bars():
    rng = np.random.default_rng(0)
    y = np.linspace(-1, 1, 9)
    found = y[:, None] + 0.3 + rng.normal(size=(4000, 9, 6)) * 0.8
    errors, bars = errors_of(found, y)
    assert errors.mean() == pytest.approx(0.09, abs=5 * errors.std() / np.sqrt(4000))
    assert ((found.mean(axis=-1) - y) ** 2).mean() > 0.19
    assert np.sqrt((bars**2).mean()) == pytest.approx(errors.std(), rel=0.35)


def test_the_error_of_a_unit_alone_is_that_of_its_exact_mean():
    """One unit, read in equilibrium: y = f <x>, by quadrature."""
    z = np.array([-1.0, 0.5, 2.0])
    settings = EvolutionSettings(layers=(1,), beta=1.0)
    network, weights, readout = Layers(settings).network(np.array([0.2, 1.5, -0.7]))
    exact = -0.7 * spu.unit_law(1.0, 0.0, 1.0, input=1.5 * z - 0.2, kT=1.0).mean
    found = outputs(
        network, weights, readout, z, times=np.array([4.0]), step=2e-3, trajectories=4000, seed=1, scheme="heun"
    )
    assert found.shape == (1, 3, 4000)
    bars = found[0].std(axis=-1) / np.sqrt(4000)
    assert (np.abs(found[0].mean(axis=-1) - exact) < 5 * bars).all()
    y = np.array([0.3, -0.4, 0.1])
    error, bar = errors_of(found[0], y)
    assert error == pytest.approx(((exact - y) ** 2).mean(), abs=5 * bar)


def test_equal_individuals_have_equal_errors_within_a_generation_and_others_in_the_next():
    settings = EvolutionSettings(**TINY)
    target = read_target("cosine", 4)
    genome = founders(1, 1, Layers(settings).scale)[0]
    item = {"genomes": np.array([genome, genome]), "trajectories": 8, "seed": 5}
    shared = (settings, target.z, target.y)
    first, second = evaluate(item, shared)["errors"]
    assert first == second != evaluate({**item, "seed": 6}, shared)["errors"][0]


def test_points_that_share_their_noise_differ_by_their_inputs_alone():
    layers = Layers(EvolutionSettings(layers=(2, 2)))
    network = layers.network(founders(1, 1, layers.scale)[0])
    given = {"times": np.ones(1), "step": 0.1, "trajectories": 5, "seed": 3}
    z = np.array([0.3, 0.3, -0.2])
    shared = outputs(*network, z, **given, shared_noise=True)[0]
    assert np.array_equal(shared[0], shared[1]) and not (shared[0] == shared[2]).any()
    own = outputs(*network, z, **given)[0]
    assert np.array_equal(own[0], shared[0]) and not (own[0] == own[1]).any()


def test_an_individual_that_blows_up_loses():
    settings = EvolutionSettings(**TINY)
    target = read_target("cosine", 4)
    people = founders(1, 3, Layers(settings).scale)
    people[1] *= 1e4
    found = evaluate({"genomes": people, "trajectories": 8, "seed": 5}, (settings, target.z, target.y))
    assert np.isfinite(found["errors"]).tolist() == [True, False, True]


# Evolution


def test_evolution_lowers_the_error():
    options = {**TINY, "layers": [3], "population": 20, "keep": 3, "most_trajectories": 32}
    found = spu.evolve("cosine", **options, generations=40, until=None)
    assert found.error + 3 * found.bar < 0.35 < found.target.plateau
    assert found.reached is None and found.generations == 40 and found.escaped is not None


def test_it_ends_when_the_error_is_small_enough():
    found = spu.evolve("cosine", **TINY, generations=20, until=2.0)
    assert found.reached and found.generations == 5
    assert not spu.evolve("cosine", **TINY, generations=5, until=1e-9).reached


def test_it_goes_on_where_it_was_with_the_same_bits(tmp_path):
    whole = spu.evolve("cosine", tmp_path / "a", **TINY, generations=6, until=None)
    spu.evolve("cosine", tmp_path / "b", **TINY, generations=2, until=None)
    again = spu.evolve("cosine", tmp_path / "b", **TINY, generations=6, until=None)
    assert same(whole, again)
    assert (tmp_path / "a/trained.npz").read_bytes() == (tmp_path / "b/trained.npz").read_bytes()
    assert spu.evolve("cosine", tmp_path / "b", **TINY, generations=6, until=None).rate is None
    with pytest.raises(spu.InputError, match="is of another study"):
        spu.evolve("cosine", tmp_path / "b", **{**TINY, "seed": 1}, generations=6)


@pytest.mark.parametrize("how", [{"threads": 1}, {"long": True}])
def test_the_same_bits_whatever_does_it(how, tmp_path, monkeypatch):
    plain = spu.evolve("cosine", **TINY, generations=3, until=None)
    if how.pop("long", False):  # each individual a piece of its own, kept until its generation is finished
        monkeypatch.setattr(module, "_LONG", 0)
    assert same(plain, spu.evolve("cosine", tmp_path, **TINY, generations=3, until=None, **how))


def test_workers_give_the_same_bits():
    plain = spu.evolve("cosine", **TINY, generations=2, until=None)
    assert same(plain, spu.evolve("cosine", **TINY, generations=2, until=None, cluster="local:2"))


KILLED = """
import sys, spu
from spu.studies.learning import evolve as module
module.MEASURED, module.WATCHED, module.FINER = (8, 32), (4, 8), 2
module.Study.due = lambda self, seconds=0.0: True
spu.evolve("cosine", sys.argv[1], **{tiny}, generations=int(sys.argv[2]), until=None)
"""


def test_killed_it_goes_on_with_the_same_bits(tmp_path):
    program = [sys.executable, "-c", KILLED.replace("{tiny}", repr(TINY)), str(tmp_path / "killed")]
    process = subprocess.Popen([*program, "100000"])
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list((tmp_path / "killed").glob("study/checkpoint-*.npz"))) < 2:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    files = list((tmp_path / "killed").glob("study/checkpoint-*.npz"))
    done = max(int(file.stem.split("-")[1]) for file in files)
    assert done >= 2 and not (tmp_path / "killed/trained.npz").exists()
    again = spu.evolve("cosine", tmp_path / "killed", **TINY, generations=done + 3, until=None)
    assert again.generations >= done
    assert same(again, spu.evolve("cosine", **TINY, generations=again.generations, until=None))


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [8, 0]}, "layers are [8, 0]"),
        ({"layers": []}, "layers are []"),
        ({"layers": 8}, "layers are 8"),
        ({"layers": [999, 2]}, "1000 in all"),
        ({"population": 5, "keep": 5}, "population is 5: it must be more than are kept (5)"),
        ({"elite": 6}, "elite is 6: at most those that are kept"),
        ({"points": 1}, "points is 1"),
        ({"trajectories": 1}, "trajectories is 1"),
        ({"trajectories": 300}, "most_trajectories is 256"),
        ({"step": 0.0}, "step is 0.0"),
        ({"step": 2.0}, "step is 2: it must not be longer than the duration (1)"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"scheme": "baoab"}, "scheme is 'baoab'"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"precision": "single", "beta": float("inf")}, "precision single is for noise"),
        ({"generations": 0}, "generations is 0"),
        ({"until": -1.0}, "until is -1.0"),
        ({"colour": 1}, "colour is none of evolution's"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(spu.SpuError) as refused:
        spu.evolve("cosine", **options)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_step_at_which_all_blow_up_is_refused():
    with pytest.raises(spu.SpuError) as refused:
        spu.evolve("cosine", **{**TINY, "deviation": 1e4}, generations=1)
    assert "all individuals of generation 0 blow up at a step of 0.1" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n1\n", "a row of 1 where line 1 has 2"),
        ("0,1,2\n1,2,3\n", "has not the two columns z and y"),
        ("y,z\n1,2\n2,3\n", "has not the two columns z and y"),
        ("z,y\n1,2\n", "has 1 row"),
        ("z,y\n1,2\n2,nan\n", "not finite"),
        ("z,y\n1,a\n2,3\n", "cannot read 'a'"),
        ("z,y\n1,0\n2,0\n", "nothing to learn"),
        ("", "is empty"),
    ],
)
def test_faults_of_a_table(text, message, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(spu.InputError) as refused:
        spu.evolve(file, layers=[2])
    assert message in str(refused.value) and "t.csv" in str(refused.value) and "\n" not in str(refused.value)


def test_targets_that_are_none():
    for name in ("sine", "none.txt"):
        with pytest.raises(spu.InputError, match=f"no target '{name}': cosine, or a .csv file"):
            spu.evolve(name)
    with pytest.raises(spu.InputError, match="no such file"):
        spu.evolve("none.csv")


def test_a_table_is_learnt_at_its_own_points(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("z,y\n-1,0.5\n0,0\n1,0.5\n")
    found = spu.evolve(file, **{key: value for key, value in TINY.items() if key != "points"}, generations=1)
    assert found.z.tolist() == [-1, 0, 1] and found.target.plateau == pytest.approx(1 / 6)
    with pytest.raises(spu.SpuError, match="points are those of the file"):
        spu.evolve(file, points=4)


# The command line


def run_cli(*words: str) -> str:
    found = CliRunner().invoke(cli, words)
    assert found.exit_code == 0, found.output
    return found.output


def test_the_command(tmp_path):
    options = ["--layers", "3,2", "--population", "6", "--keep", "2", "--points", "4", "--trajectories", "8"]
    options += ["--step", "0.1", "--generations", "2"]
    arguments = ["train", "evolve", "cosine", "-o", str(tmp_path / "net"), *options]
    data = json.loads(run_cli(*arguments, "--json", "--plot", str(tmp_path / "p.png")))
    assert {"error", "standard_error", "plateau", "notch", "scaling", "neuron_steps_per_second"} <= set(data)
    assert data["notch"]["times"][-1] == 2.0 and len(data["notch"]["error"]) == len(data["notch"]["times"])
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    learnt = spu.load_trained(tmp_path / "net")
    assert learnt.purpose == "regression" and learnt.measured["error"] == data["error"]
    said = run_cli(*arguments)
    assert "champion, fresh noise" in said and "notch: lowest at" in said

"""Imported netlists as schematics: everything that is in them stands somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import spu
from spu.cli import cli
from spu.reports.schematic import draw_netlist
from spu.spice.reader import read_netlist

DECKS = sorted(path for path in (Path(__file__).parents[1] / "decks").iterdir() if path.is_file())


def words(figure):
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts) + "\n".join(
        text.get_text() for text in figure.texts
    )


@pytest.mark.parametrize("path", DECKS, ids=lambda path: path.name)
def test_everything_of_a_netlist_stands_in_it(path):
    read = read_netlist(path)
    said = words(draw_netlist(read)).lower()
    for node in read.circuit.nodes:
        assert str(node)[:9] in said, node
    top = next(group for group in read.circuit.instances if str(group.names[0]) == "deck")
    for element in top.subcircuit.elements:
        named = element.name in said or "noise" in said or element.name[0] == "k"
        assert named, element.name


def test_values_and_subcircuits_are_named():
    said = words(draw_netlist(read_netlist(DECKS[0].with_name("kicad_filter.cir"))))
    for word in ("R1 4.7 kΩ", "C1\n10 nF", "xs1: lcsection", "top level", "V1\n200 mV", "I1\n1 µA", "19 elements on 7"):
        assert word in said, word


def test_large_ones_are_told_from_what_is_read(tmp_path):
    lines = ["ladder", "v1 n0 0 dc 1"]
    for k in range(90):
        lines += [f"r{k} n{k} n{k + 1} 1k", f"c{k} n{k + 1} 0 1n"]
    (tmp_path / "ladder.cir").write_text("\n".join([*lines, ".save v(n90)", ".end", ""]))
    said = words(draw_netlist(read_netlist(tmp_path / "ladder.cir")))
    assert "Too large to be drawn as a circuit: top level (181 elements)" in said
    assert "Of 91 nodes the graph shows 60" in said and "n90" in said and "n20\n" not in said


def test_inspect_and_report_draw_it(tmp_path):
    deck = str(DECKS[0].with_name("rc_mesh.cir"))
    for option in ("--plot", "--schematic"):
        done = CliRunner().invoke(cli, ["inspect", deck, option, str(tmp_path / "mesh.svg")])
        assert done.exit_code == 0 and "schematic:" in done.output
        assert (tmp_path / "mesh.svg").stat().st_size > 10_000
    found = spu.report(deck, tmp_path / "mesh.md", levels=["ideal"], samples=100)
    assert (tmp_path / "mesh.schematic.svg") in found.pictures
    refused = CliRunner().invoke(cli, ["inspect", deck, "--schematic", str(tmp_path / "a.svg"), "--cell", "x"])
    assert refused.exit_code == 2 and "--cell is not for netlists" in refused.output

"""Tables, labelled lines and prose: what fits a screen, and what is left out where it says so."""

from itertools import pairwise

import pytest

from spu.base.layout import WIDTH, facts, folded, in_full, shortened, table

LONG = [f"pressure_at_the_outlet_of_the_second_stage_{k}" for k in range(4)]


def widest(text):
    return max(map(len, text.split("\n")))


def test_a_table_that_fits_is_left_as_it_is():
    assert table(["a", "b"], [["x", "1"], ["yy", "22"]]) == "\n".join(["  a    b", "  --  --", "  x    1", "  yy  22"])


def test_long_names_lose_their_middle_and_are_told_apart():
    rows = [[a, b, "1.344 nF", "0.3"] for a, b in pairwise(LONG)]
    shown = table(["cell", "cell", "capacitance", "strength"], rows, left=2)
    assert widest(shown) <= WIDTH and shown.endswith("(names shortened: in full with --verbose)")
    names = [line.split()[:2] for line in shown.split("\n")[2:-1]]
    assert len({name for row in names for name in row}) == 4
    with in_full():
        whole = table(["cell", "cell", "capacitance", "strength"], rows, left=2)
    assert all(name in whole for name in LONG) and "--verbose" not in whole and widest(whole) > WIDTH


def test_names_that_differ_in_front_or_behind_stay_distinct():
    names = ["a" * 30 + str(k) for k in range(3)] + [str(k) + "b" * 30 for k in range(3)]
    assert len(set(shortened(names, 12))) == 6 and max(map(len, shortened(names, 12))) == 12
    middle = ["a" * 20 + str(k) + "a" * 20 for k in range(3)]
    assert len(set(shortened(middle, 12))) == 3  # no end tells them apart
    assert max(map(len, shortened(middle, 12))) == 12


def test_columns_that_do_not_fit_continue_below_with_the_names_again():
    headers = ["variable", *(f"column {k}" for k in range(16))]
    shown = table(headers, [[f"x{row}", *(f"{row}.{k:06d}" for k in range(16))] for row in range(3)])
    assert widest(shown) <= WIDTH
    assert [line.split()[0] for line in shown.split("\n") if line.strip().startswith("x")] == ["x0", "x1", "x2"] * 2
    assert all(f"2.{k:06d}" in shown for k in range(16))


def test_sentences_in_a_table_are_folded_and_numbers_are_not():
    words = "the netlist as read against the device, in all that it has to say of its answer and of its modes"
    shown = table(["level", "compares", "error"], [["answer", words, "1.2e-06 +- 3.4e-09"]], left=2)
    assert widest(shown) <= WIDTH and "1.2e-06 +- 3.4e-09" in shown
    assert " ".join(words.split()) in " ".join(" ".join(line[10:80] for line in shown.split("\n")[2:]).split()).replace(
        "1.2e-06 +- 3.4e-09 ", ""
    )


def test_rows_left_out_are_counted_and_all_there_in_full():
    rows = [[str(k)] for k in range(30)]
    assert table(["k"], rows, limit=20).endswith("... and 10 more (all with --verbose)")
    with in_full():
        assert table(["k"], rows, limit=20).endswith("29")


def test_facts_and_prose_are_folded_and_words_stay_whole():
    path = "/somewhere/" + "deep/" * 30 + "device.json"
    shown = facts([("architecture", "word " * 40 + "1.2 us"), ("wrote", path)])
    assert path in shown and all(len(line) <= WIDTH for line in shown.split("\n") if path not in line)
    assert shown.split("\n")[1].startswith(" " * 14 + "word")
    prose = folded("  " + "word " * 30)
    assert widest(prose) <= WIDTH and prose.split("\n")[1].startswith("    word")
    with in_full():
        assert folded("word " * 40) == "word " * 40


@pytest.mark.parametrize("before", range(84, 100))
def test_no_line_ends_between_a_number_and_its_unit(before):
    assert "1.59 us" in folded("a" * before + " 1.59 us and " + "more " * 10)

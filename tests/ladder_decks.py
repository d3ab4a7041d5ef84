"""Ladders and trees as decks: thousands of sections of R and C, or of R, L and C, and passive networks at random."""

import numpy as np


def rc_chain(
    sections: int, *, driven: bool = True, resistance: str = "1k", capacitance: str = "1n", save: str = ""
) -> str:
    """Sections of a resistor in series and a capacitor to ground, behind a source of 2 V or a resistor to ground."""
    lines = ["a chain of RC sections", f"vin n0 0 2\nr1 n0 n1 {resistance}" if driven else f"r1 n1 0 {resistance}"]
    lines += [f"r{k} n{k - 1} n{k} {resistance}" for k in range(2, sections + 1)]
    lines += [f"c{k} n{k} 0 {capacitance}" for k in range(1, sections + 1)]
    saved = save or f"v(n1) v(n{sections // 2}) v(n{sections})"
    return "\n".join([*lines, f".save {saved}", ".end", ""])


def rlc_line(sections: int, *, loss: str = "0.1", ends: str = "50") -> str:
    """A transmission line between terminations; ``loss`` in series with each inductor, none where it is empty."""
    lines = ["a line of RLC sections", "vin s 0 0", f"rs s n0 {ends}"]
    for k in range(1, sections + 1):
        middle = f"m{k}" if loss else f"n{k}"
        lines += [f"l{k} n{k - 1} {middle} 25n", *([f"r{k} {middle} n{k} {loss}"] if loss else []), f"c{k} n{k} 0 10p"]
    lines += [f"rt n{sections} 0 {ends}", f".save v(n1) v(n{sections})", ".end", ""]
    return "\n".join(lines)


def passive(seed: int, nodes: int, *, inductors: bool = False, biased: bool = True) -> str:
    """Resistors in a tree and some more across it, capacitors to ground and between nodes, at random values."""
    rng = np.random.default_rng(seed)
    lines = [f"a passive network, {seed}"]
    for k in range(1, nodes + 1):
        lines.append(f"r{k} n{k} n{rng.integers(0, k)} {10 ** rng.uniform(1, 4):.6g}".replace("n0 ", "0 "))
        lines.append(f"c{k} n{k} 0 {10 ** rng.uniform(-11, -9):.6g}")
    for k in range(nodes // 2):
        a, b = rng.choice(nodes, 2, replace=False) + 1
        lines.append(f"rx{k} n{a} n{b} {10 ** rng.uniform(2, 4):.6g}")
        c, d = rng.choice(nodes, 2, replace=False) + 1
        lines.append(f"cx{k} n{c} n{d} {10 ** rng.uniform(-12, -10):.6g}")
        if inductors:
            e, f = rng.choice(nodes, 2, replace=False) + 1
            lines.append(f"l{k} n{e} q{k} {10 ** rng.uniform(-7, -5):.6g}\nrl{k} q{k} n{f} {rng.uniform(1, 50):.6g}")
    if inductors:
        lines.append("k1 l0 l1 0.6")
    if biased:
        lines.append("vs n1s 0 3\nrs n1s n1 470\ni1 0 n2 1m")
    names = " ".join(f"v(n{k})" for k in range(1, nodes + 1))
    return "\n".join([*lines, f".save {names} v(n1,n{nodes})", ".end", ""])

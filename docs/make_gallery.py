"""Make docs/gallery.md and its pictures: every command that it shows is run as it stands there.

    make gallery                               all of it, some minutes on two cores
    python docs/make_gallery.py NAME ...       some pictures, and the page, which keeps what the others said
    python docs/make_gallery.py --page         the page alone, from the words here

Commands run in the repository's root; what they train lies in gallery/, pictures in docs/gallery/, and what is quoted
of a command's output beside them, as text.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"


@dataclass(frozen=True)
class Entry:
    """One picture.

    Attributes
    ----------
    name:
        Of its file, without ``.png``.
    title, words:
        What stands above the picture.
    commands:
        Run in their order; the last one makes the picture.
    quoted:
        Lines of the last command's output that the page quotes: how many from its end; 0 for none.
    """

    name: str
    title: str
    words: str
    commands: tuple[str, ...]
    quoted: int = 0

    @property
    def picture(self) -> Path:
        """Its file."""
        return PICTURES / f"{self.name}.png"

    @property
    def said(self) -> Path:
        """The quoted output's file."""
        return PICTURES / f"{self.name}.txt"


ENTRIES = (
    Entry(
        "generated",
        "Images from noise",
        "Sixteen images of 8 x 8 digits. 64 visible and 43 hidden units start apart from one another in thermal noise, "
        "the couplings act, and at time 2.5 the visible units are read. What is said of the images, and what "
        "one of them costs, item by item:",
        (
            "spu train generative examples/digits8.npz --classes 0,1,2 --images-per-class 1 --restart "
            "-o gallery/digits",
            "spu generate gallery/digits --images 16 -o docs/gallery/generated.png",
        ),
        quoted=60,
    ),
    Entry(
        "ngspice",
        "The same from a circuit",
        "The network is compiled to 107 cells with couplers of 6 bits, and its netlist is run by ngspice, from noise "
        "to image, beside the emulator: the same starts and the same waveform of noise in both.",
        (
            "spu compile gallery/digits --hardware neurons-6bit -o gallery/digits-device --force",
            "python examples/digits_on_hardware.py ngspice gallery/digits-device docs/gallery/ngspice.png",
        ),
        quoted=6,
    ),
    Entry(
        "bits",
        "Bits and mismatch",
        "How like the training images are, on boards with couplers of so many bits, and elements that are off by so "
        "much (relative standard deviation; three boards of each kind).",
        ("python examples/digits_on_hardware.py bits gallery/digits docs/gallery/bits.png",),
        quoted=30,
    ),
    Entry(
        "accuracy",
        "Answers before rest",
        "A network of 64 hidden units and 10 outputs reads 8 x 8 digits: trained on 1,297, asked about the other 500, "
        "at several times. It was trained to answer at 0.2.",
        (
            "python examples/digits_on_hardware.py split gallery/train.npz gallery/test.npz",
            "spu train classifier gallery/train.npz --epochs 40 --batch 50 --restart -o gallery/reader",
            "spu classify gallery/reader gallery/test.npz --times 0.02,0.05,0.1,0.15,0.2 "
            "--plot docs/gallery/accuracy.png",
        ),
        quoted=20,
    ),
    Entry(
        "notch",
        "A network that computes on its way",
        "Two layers of 8 units have learnt cos 2 pi z by a genetic algorithm, read at t = 1: what is read beside the "
        "target, the error over generations, and the error against the time of reading. Read earlier or later, or "
        "without noise, it is wrong: the computation happens out of equilibrium (some minutes).",
        ("spu train evolve cosine --restart -o gallery/cosine --plot docs/gallery/notch.png",),
    ),
    Entry(
        "relaxation",
        "A kick",
        "Eight ringing cells of a karate club leave a given state: exact means and bands, the means of 200 "
        "trajectories with their errors, and some of these.",
        (
            "spu compile examples/club8.toml -o gallery/club8 --force",
            "spu simulate gallery/club8 --no-output --trajectories 200 --start 3,0,0,0,0,0,0,0 --times 0:6e-6:61 "
            "--plot docs/gallery/relaxation.png",
        ),
    ),
    Entry(
        "natural",
        "Gradient at once, natural gradient later",
        "Softmax regression tells threes from eights. In each step a device starts at the gradient and relaxes with "
        "the Fisher matrix: the longer it is given, the fewer steps. Lines are exact, rings emulated, crosses ngspice.",
        ("spu train natural examples/digits8.npz --classes 3,8 --plot docs/gallery/natural.png",),
        quoted=30,
    ),
    Entry(
        "nile",
        "What data leave open",
        "The flow of the Nile over a hundred years, and what a Gaussian process makes of it: the exact posterior, and "
        "the functions that a device samples from it.",
        ("spu regress examples/nile.csv --points 48 --plot docs/gallery/nile.png",),
        quoted=40,
    ),
)

HEAD = """\
# Gallery

Every picture with the commands that made it, run from the repository's root by `make gallery` (some minutes on two
cores). The digits are those in `examples/` ([where they come from](reference/data.md)). All random numbers have
seeds: the same commands give the same pictures.

"""


def run(entry: Entry) -> None:
    """Run the commands of one entry; the last one's output is kept where it is quoted."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    (ROOT / "gallery").mkdir(exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    for command in entry.commands:
        print(f"$ {command}", flush=True)
        began = time.perf_counter()
        done = subprocess.run(shlex.split(command), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{command}: exit status {done.returncode}")
        print(done.stdout)
        print(f"{time.perf_counter() - began:.0f} s", flush=True)
    if entry.quoted:
        lines = done.stdout.rstrip().splitlines()[-entry.quoted :]
        entry.said.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if not entry.picture.exists():
        sys.exit(f"{entry.picture} was not made")


def page() -> str:
    """The page, with the pictures and quotations that there are."""
    parts = [HEAD]
    for entry in ENTRIES:
        commands = "".join(f"    {command}\n" for command in entry.commands)
        parts.append(f"## {entry.title}\n\n{entry.words}\n\n{commands}\n![{entry.title}](gallery/{entry.name}.png)\n\n")
        if entry.quoted:
            parts.append(f"```\n{entry.said.read_text(encoding='utf-8')}```\n\n")
    return "".join(parts).rstrip() + "\n"


def main(words: list[str]) -> None:
    """Run what is named, or everything, and write the page."""
    known = {entry.name: entry for entry in ENTRIES}
    if unknown := [word for word in words if word not in known and word != "--page"]:
        sys.exit(f"no picture {unknown[0]}: there are {', '.join(known)}")
    chosen = [] if "--page" in words else words or list(known)
    for name in chosen:
        run(known[name])
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

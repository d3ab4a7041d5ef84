"""Open a KiCad schematic on a screen of its own (Xvfb), take its picture, and let KiCad write its netlists.

    python tools/open_in_kicad.py board/board.kicad_sch --picture board.png --netlist board.net --spice board.cir

Needs eeschema of KiCad 6, Xvfb, xdotool and ImageMagick's import (Debian: kicad, xvfb, xdotool, imagemagick). KiCad 6
has no command line of its own: its menus are used by keys, and nothing is written but what is asked for.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("eeschema", "Xvfb", "xdotool", "import")

RULES = "Electrical Rules Checker"

SIZE = (2000, 1400)
"""Of the screen, pixels."""


def missing() -> list[str]:
    """Programs that are needed and not there."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Opened:
    """A schematic in KiCad's editor."""

    def __init__(self, environment: dict[str, str], title: str) -> None:
        self._environment, self._title = environment, title

    def _run(self, *words: str) -> str:
        done = subprocess.run(words, env=self._environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout

    def windows(self) -> list[str]:
        """Titles of what is open."""
        found = self._run("xdotool", "search", "--onlyvisible", "--name", ".").split()
        return [self._run("xdotool", "getwindowname", each).strip() for each in found]

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self._run("xdotool", "key", key)
            time.sleep(0.3)

    def picture(self, file: Path) -> None:
        """What is on the screen."""
        self._run("import", "-window", "root", str(file))

    def enter(self, x: int, y: int) -> None:
        """Open the sheet at a place of the screen."""
        self._run("xdotool", "mousemove", str(x), str(y), "click", "--repeat", "2", "--delay", "80", "1")
        time.sleep(3.0)
        self._run("xdotool", "mousemove", str(SIZE[0] - 400), str(SIZE[1] - 200))
        time.sleep(1.0)

    def click(self, window: str, x: int, y: int) -> None:
        """Click into a window, at a place from its upper left corner."""
        (found, *_) = self._run("xdotool", "search", "--onlyvisible", "--name", window).split()
        self._run("xdotool", "mousemove", "--window", found, str(x), str(y), "click", "1")
        time.sleep(0.5)

    def export(self, file: Path, *, spice: bool = False) -> None:
        """Let KiCad write its own netlist, or SPICE's, by File > Export > Netlist."""
        file.unlink(missing_ok=True)
        self._menu("Export Netlist", *["Down"] * 8, "Right", "Down", "Return")
        if spice:
            self.click("Export Netlist", 300, 32)
        self.keys("Return")
        wait(lambda: any("Netlist File" in each for each in self.windows()), 90.0, "the dialog of files")
        self._written(file)

    def rules(self, file: Path) -> None:
        """Let KiCad check its electrical rules, by Inspect, and write its report."""
        file.unlink(missing_ok=True)
        self._menu(RULES, *["Right"] * 4, "Down", "Return")
        time.sleep(1.0)
        self.keys("Return")
        time.sleep(8.0)
        self.click(RULES, 678, 326)
        wait(lambda: any("Save" in each for each in self.windows()), 90.0, "the dialog of files")
        self._written(file)
        self.keys("Escape")

    def _menu(self, dialog: str, *keys: str) -> None:
        """Open a dialog by keys of the menu bar: again until it is there, as an editor that is busy takes none."""
        end = time.monotonic() + 120.0
        while time.monotonic() < end:
            self.keys("F10", *keys)
            with suppress(TimeoutError):
                wait(lambda: dialog in self.windows(), 10.0, dialog)
                return
            self.keys("Escape", "Escape", "Escape")
        raise TimeoutError(f"{dialog} did not come")

    def _written(self, file: Path) -> None:
        """Name the file in KiCad's dialog, and wait for it."""
        self.keys("ctrl+a")
        self._run("xdotool", "type", "--delay", "20", str(file.resolve()))
        self.keys("Return")
        wait(file.exists, 90.0, str(file))
        time.sleep(1.0)


def wait(until: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.3)


@contextmanager
def opened(schematic: Path, seconds: float = 90.0) -> Iterator[Opened]:
    """Open a schematic; closed again at the end."""
    with tempfile.TemporaryDirectory() as home:
        for folder in (Path(home), Path(home) / "6.0"):
            folder.mkdir(exist_ok=True)
            (folder / "kicad_common.json").write_text('{"system": {"autosave_interval": 0}, "meta": {"version": 1}}')
            window = f'"window": {{"pos_x": 0, "pos_y": 0, "size_x": {SIZE[0]}, "size_y": {SIZE[1]}}}'
            (folder / "eeschema.json").write_text(f'{{{window}, "meta": {{"version": 1}}}}')
            (folder / "sym-lib-table").write_text("(sym_lib_table)")
        read, write = os.pipe()
        screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24"],
            pass_fds=[write],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        editor = None
        try:
            with os.fdopen(read) as number:
                display = f":{number.readline().strip()}"
            environment = {**os.environ, "DISPLAY": display, "KICAD_CONFIG_HOME": home, "HOME": home}
            editor = subprocess.Popen(
                ["eeschema", str(schematic.resolve())],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            title = f"{schematic.stem} ["
            found = Opened(environment, title)
            wait(lambda: any(each.startswith(title) for each in found.windows()), seconds, "the editor")
            time.sleep(2.0)
            yield found
        finally:
            for process in (editor, screen):
                if process is not None:
                    process.terminate()
                    process.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("schematic", type=Path)
    parser.add_argument("--picture", type=Path, help="of the editor's window (.png)")
    parser.add_argument("--enter", type=int, nargs=2, metavar=("X", "Y"), help="first open the sheet there, pixels")
    parser.add_argument("--netlist", type=Path, help="KiCad's own")
    parser.add_argument("--rules", type=Path, help="KiCad's report on electrical rules")
    parser.add_argument("--spice", type=Path, help="SPICE's")
    given = parser.parse_args()
    if missing():
        parser.error(f"needs {', '.join(missing())}")
    with opened(given.schematic) as editor:
        if given.enter is not None:
            editor.enter(*given.enter)
        if given.picture is not None:
            editor.picture(given.picture)
        if given.rules is not None:
            editor.rules(given.rules)
        if given.netlist is not None:
            editor.export(given.netlist)
        if given.spice is not None:
            editor.export(given.spice, spice=True)


if __name__ == "__main__":
    main()

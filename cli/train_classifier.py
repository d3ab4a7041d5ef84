"""``spu train classifier``: images and labels to a network that tells them apart."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from .common import facts, file_option, hint, json_option, print_json, seed_option, study_options, study_words
from .names import names


@click.command("classifier")
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path), required=False)
@file_option("-o", "--output", metavar="DIR", help="Folder for the trained network and its checkpoints.")
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=names("spu.studies.learning.classifier:METHODS"),
    default="pathwise",
    show_default=True,
    help="pathwise or guide.",
)
@click.option("--hidden", type=click.IntRange(1), default=64, show_default=True, metavar="N", help="Hidden units.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Passes over the images [default: 16; guides 4].")
@click.option("--batch", type=click.IntRange(1), default=200, show_default=True, metavar="N", help="Images a step.")
@click.option("--rate", type=float, default=0.03, show_default=True, metavar="X", help="Learning rate of Adam.")
@click.option("--decay", type=float, default=0.0, show_default=True, metavar="X", help="Decay of weights.")
@click.option("--shift", type=int, default=0, show_default=True, metavar="N", help="Move images by up to N pixels.")
@click.option("--duration", type=float, default=0.2, show_default=True, metavar="T", help="When outputs are read.")
@click.option("--step", type=float, default=5e-3, show_default=True, metavar="T", help="Time step in training.")
@click.option("--kT", "temperature", type=float, default=1.0, show_default=True, metavar="X", help="Of the bath.")
@click.option("--bits", type=int, metavar="N", help="Train for couplings and weights of N bits and a sign.")
@click.option("--mismatch", type=float, default=0.0, metavar="X", help="Train for elements that are off by X (0.01).")
@click.option("--range", "largest", type=float, metavar="X", help="Largest coupling and weight that the board has.")
@seed_option("everything random", 2**31 - 1)
@study_options
@json_option
def command(
    images: Path,
    labels: Path | None,
    output: Path | None,
    method: str,
    hidden: int,
    epochs: int | None,
    batch: int,
    rate: float,
    decay: float,
    shift: int,
    duration: float,
    step: float,
    temperature: float,
    bits: int | None,
    mismatch: float,
    largest: float | None,
    seed: int,
    cluster: str | None,
    threads: int | None,
    restart: bool,
    as_json: bool,
) -> int:
    """Train a network to tell the IMAGES apart; the answer is its largest output.

    LABELS are whole numbers from 0, a file of its own (IDX, .npy, .npz) unless IMAGES holds them. Writes
    DIR/trained.npz. The same command, given again, goes on where it was.
    """
    from spu.base.errors import UsageError
    from spu.studies.learning.classifier import train_classifier

    if output is None:
        raise UsageError("give a folder for the trained network: -o DIR")
    found = train_classifier(
        images,
        labels,
        output,
        method=method,
        hidden=hidden,
        epochs=epochs,
        batch=batch,
        rate=rate,
        decay=decay,
        shift=shift,
        duration=duration,
        step=step,
        kT=temperature,
        bits=bits,
        mismatch=mismatch,
        limits=None if largest is None else {"couplings": largest, "weights": largest},
        seed=seed,
        cluster=cluster,
        threads=threads,
        restart=restart,
        progress=study_words(),
    )
    if as_json:
        print_json({"output": output, "units": found.network.n, "settings": found.settings, **found.measured})
        return 0
    measured = dict(found.measured)
    rows = [("units", f"{found.network.n}, of which {len(found.classes)} outputs"), ("method", method)]
    if "loss" in measured:
        rows.append(("loss of the last epoch", f"{measured['loss'][-1]:.4g}"))
        rows.append(("right in training", f"{100 * measured['accuracy_in_training'][-1]:.2f} %, one trajectory each"))
    else:
        rows.append(("teacher", f"{100 * measured['teacher_accuracy_in_training']:.2f} % of what it was taught"))
    rows.append(("time", f"{measured['seconds']:.4g} s"))
    click.echo(facts(rows))
    click.echo(f"\nwrote {output / 'trained.npz'}")
    hint(f"\nnext: spu classify {shlex.quote(str(output))} IMAGES --labels LABELS")
    return 0

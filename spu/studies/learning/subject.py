"""Whatever holds a trained network, and the equation that is run of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from spu.base.errors import CircuitError, InputError
from spu.circuit.scales import NetworkScales
from spu.compiler.polynomial import NetworkCompilation
from spu.device.device import Device
from spu.device.lower import lower
from spu.emulator.dynamics import langevin_of
from spu.emulator.equations.langevin import Langevin, langevin_of_network
from spu.emulator.equations.scaled import in_problem_units
from spu.emulator.laws.boltzmann import as_network
from spu.folder import Folder, read_folder
from spu.folder.names import DEVICE
from spu.problems.network import ThermodynamicNetwork
from spu.problems.trained import TrainedNetwork, is_trained, load_trained

__all__ = ["Learned", "learned"]


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learnt, with what is run.

    Attributes
    ----------
    trained:
        Its network is that of the equation, with codes and errors of a device; where that is no network of one
        mobility and one temperature, the one that was compiled. Its weights are those that the device has.
    equation:
        What is run, in problem units: x, kT and time as of ``trained``.
    scales:
        How the device holds these units; None where there is no device.
    device:
        None where there is none.
    """

    trained: TrainedNetwork
    equation: Langevin
    scales: NetworkScales | None = None
    device: Device | None = None

    @property
    def second(self) -> float | None:
        """Seconds of the device for a unit of the network's time; None where there is no device."""
        return None if self.scales is None else self.scales.time / self.scales.speedup


def learned(subject: Learned | TrainedNetwork | NetworkCompilation | Folder | str | Path) -> Learned:
    """What was learnt, and the equation that is run of it.

    Parameters
    ----------
    subject:
        A trained network, its folder or file; or what was compiled of one, or the compiled folder: then the equation
        is the device's own.

    Raises
    ------
    InputError
        If there is no trained network.
    """
    if isinstance(subject, Learned):
        return subject
    if isinstance(subject, TrainedNetwork):
        return Learned(subject, langevin_of_network(subject.network))
    if isinstance(subject, NetworkCompilation):
        if subject.trained is None:
            raise InputError("this was compiled of a network that nobody trained")
        return _of_device(subject.trained, subject.device)
    if isinstance(subject, (str, Path)):
        path = Path(subject)
        if not (path / DEVICE).is_file() and path.name != DEVICE:
            if is_trained(path) or path.is_dir():
                return learned(load_trained(path))
            raise InputError("is neither the folder of a trained network nor a device compiled of one", file=path)
        subject = read_folder(path)
    if not isinstance(subject, Folder):
        what = type(subject).__name__
        raise InputError(
            f"a {what} does not know what was learnt: give the folder, or what compile_problem makes of it"
        )
    trained = subject.trained
    if trained is None:
        raise InputError("is a device of a network that nobody trained: compile a trained folder", file=subject.path)
    return _of_device(trained, subject.device)


def _of_device(trained: TrainedNetwork, device: Device) -> Learned:
    equation, scales = langevin_of(lower(device)).equation, device.scales
    assert isinstance(scales, NetworkScales)  # every device of a network has them
    network = _network(equation, scales)
    if network is not None:
        trained = trained.with_network(network.with_bias(trained.network.bias))
    return Learned(trained, in_problem_units(equation, scales), scales, device)


def _network(equation: Langevin, scales: NetworkScales) -> ThermodynamicNetwork | None:
    posed = replace(scales, energy=scales.energy * scales.speedup, time=scales.time / scales.speedup)
    try:
        return as_network(equation, posed)
    except CircuitError:
        return None

"""What levels and verdicts are called, in sentences for people."""

from __future__ import annotations

COMPARES = {
    "ideal": "emulator against the exact answer",
    "answer": "the edited netlist's answer against the device's",
    "op": "ngspice operating point against the mean",
    "ac": "ngspice transfer functions against the emulator's",
    "replay": "the same noise waveform through both",
    "noise": "ngspice with its own noise against the prediction",
}
"""What each level sets side by side."""

IN_WORDS = {
    "pass": "PASS: whatever was compared agrees within what is allowed.",
    "fail": "FAIL: they disagree by more than is allowed; see the levels marked fail.",
    "inconclusive": "INCONCLUSIVE: nothing contradicts the device, but not everything could be decided.",
    "error": "ERROR: a level could not be run; see its message.",
    "skipped": "SKIPPED: none of the levels asked for has anything to say about this device.",
}
"""The verdict of a check."""

FAILING_MEANS = {
    "ideal": "The device is not the one that was compiled, or answers the problem less well than was promised.",
    "answer": "The edited netlist samples something else than the device.",
    "op": "The circuit that ngspice ran has another operating point than the device: its mean is off.",
    "ac": "The circuit that ngspice ran is not the device: a transfer function, or a noise source, is off.",
    "replay": "Given the same noise, the circuit that ngspice ran takes another path than the device.",
    "noise": "With ngspice's own noise the circuit does not have the statistics of the device.",
}
"""What it means that a level fails."""

"""Where networks run."""

from __future__ import annotations

import torch

from s2f.errors import UsageError


def existing_device(device: str | torch.device | None) -> torch.device:
    """A device of this machine by name; None is the CPU.

    Args:
        device: cpu, cuda, cuda:1, mps.

    Returns:
        The device.

    Raises:
        UsageError: it does not exist here.
    """
    expected = "a device of this machine"
    fix = "use cpu, or install a torch build for your accelerator"
    try:
        target = torch.device(device or "cpu")
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else "an unknown one"
        raise UsageError(expected, f"{device!r} ({reason})", fix) from error
    if target.type == "meta":
        raise UsageError(expected, f"{device!r}", fix)
    return target

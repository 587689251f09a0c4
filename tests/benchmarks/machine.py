"""What measuring needs: a clock, memory in use, and what a file of numbers says of the machine it is from."""

from __future__ import annotations

import gc
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aelib  # before torch, which is imported where it is used: it sets OpenMP's variable

MATERIALS = Path(__file__).parents[2] / "materials"
RESULTS, FIGURES = MATERIALS / "results", MATERIALS / "figures"


def processor() -> str:
    """The model of the CPU, in its maker's words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def machine() -> dict[str, Any]:
    """Hardware and versions: cores are those this process may use, memory is in GB (10⁹ bytes)."""
    import torch

    from aelib.datasets.decoding import processors

    return {
        "cpu": processor(),
        "cores": processors(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "aelib": aelib.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def now(device: str) -> float:
    """Seconds on a clock, when the device has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter()


def status_mb(field: str) -> float | None:
    """Memory of this process in MB (10⁶ bytes), where the system is a Linux.

    Args:
        field: of /proc/self/status: "VmRSS:", what is in memory; "VmHWM:", the most of it so far (getrusage's
            maximum starts, in a process that another one starts, with that one's); "RssAnon:", without
            pages of files; "VmData:", what the limit RLIMIT_DATA is about.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field)), None)


def live_tensors() -> int:
    """Tensors that Python holds, once what is unreachable is gone."""
    import torch

    gc.collect()
    return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Results as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    os.replace(part, path)

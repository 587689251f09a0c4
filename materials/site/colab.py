"""What a page in Colab runs first: `python materials/site/colab.py` installs the library beside its torch.

The torch that is there came with the machine's driver and stays as it is. So does all else that is there and
new enough. What is missing comes in the versions of constraints.txt.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KEPT = ("torch", "torchvision")


def constraints(pins: str, there: Mapping[str, str]) -> str:
    """For pip: `KEPT` as they are there, a pin for what is not there, nothing for the rest.

    Args:
        pins: lines such as "torch==2.14.1", as in constraints.txt.
        there: name, in small letters and with "-" → version.
    """
    missing = [line for line in pins.splitlines() if "==" in line and canonical(line) not in there]
    return "\n".join([*(f"{name}=={there[name]}" for name in KEPT if name in there), *missing])


def canonical(line: str) -> str:
    """The name in a line such as "PyYAML==6.0.2": "pyyaml"."""
    return line.partition("==")[0].strip().lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    there = {canonical(d.metadata["Name"]): d.version for d in distributions()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "constraints.txt")
        file.write_text(constraints((ROOT / "constraints.txt").read_text("utf-8"), there), "utf-8")
        done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-c", file, f"{ROOT}[export]"])
    if done.returncode:
        named = ", ".join(f"{name} {there.get(name, 'missing')}" for name in KEPT)
        raise SystemExit(f"the library is not installed (above, pip says why); here are {named}")

"""The environment of the benchmarks: this library and its peers, in build/peers, beside the course's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "peers"
ASKED = (ROOT / "constraints.txt", Path(__file__).with_name("peers.txt"))


def enter() -> None:
    """Go on in that environment, which is made first if it is missing or what it is made of has changed."""
    # the library's own default; it acts only if it is set before torch is imported, and here for everybody
    os.environ["GOMP_SPINCOUNT"] = "2000"
    python, ready = FOLDER / "bin" / "python", FOLDER / "ready"
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in ASKED)).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        print(f"setting up {FOLDER}: a few minutes, once", flush=True)
        if not python.exists():
            venv.create(FOLDER, with_pip=True, symlinks=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        constraints, peers = map(str, ASKED)
        subprocess.run([*pip, "-c", constraints, "-e", str(ROOT), "-r", peers], check=True)
        ready.write_text(wanted)
    if Path(sys.prefix).resolve() != FOLDER:
        os.execv(python, [str(python), *sys.argv])

"""The steps of .devcontainer/Dockerfile where there is no docker: in a Debian of its own, in a folder.

    python tests/container.py FOLDER [--build-arg NAME=VALUE] [-- COMMAND …]

The Dockerfile itself is read, so it is what is tried, but for docker's own part: layers, networks, cards.
Mirror, package index and certificates are those that this machine is set up with. At the end COMMAND runs as
the user of the image; without one, a training, a report, and the image's own command until it says where the
course is. It needs root and mmdebstrap; it takes minutes and 9 GB, which it leaves in FOLDER to look at.
"""

import argparse
import ast
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent.parent
DOCKERFILE = HERE / ".devcontainer" / "Dockerfile"
TRIED = (
    "aelib train digits --net mlp --latent 2 --epochs 1 --out /tmp/run && aelib report /tmp/run",
    "python -m pytest -q -p no:cacheprovider -m 'not slow' tests/test_machines.py tests/test_workflows.py",
    "python -c 'import torch, torchvision; print(torch.__version__, torch.cuda.is_available())'",
    "CI=true python -m pytest -q -p no:cacheprovider tests/test_browser.py -k kind_of_way",
)


def instructions(file):
    """(instruction, the rest) of each line of a Dockerfile; what a backslash goes on with is one line."""
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), " ".join(rest.split()) if word != "RUN" else rest


def run(*words, **keywords):
    print("+", shlex.join(map(str, words)), flush=True)
    return subprocess.run(list(map(str, words)), check=True, **keywords)


def asked(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class Image:
    """A Debian in a folder, and what the Dockerfile has said so far: user, folder, variables, command."""

    def __init__(self, root):
        self.root, self.ids, self.folder, self.command = root, (0, 0), "/", []
        self.variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.arguments = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}

    def start(self, suite):
        """Debian's smallest system, with the mirror, the network and the package index of this machine."""
        lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.sources")]
        mirrors = [f for f in lists if f.is_file() and suite in f.read_text("utf-8")]
        options = re.findall(r"^Acquire::(?:Check-|https?::Proxy).*", asked("apt-config", "dump"), re.M)
        run(
            "mmdebstrap",
            "--variant=minbase",
            *(f"--aptopt={o}" for o in options),
            suite,
            self.root,
            *mirrors[:1],
        )
        for file in ("/etc/resolv.conf", "/etc/hosts"):
            shutil.copy(file, self.root / file[1:])
        self.mount("--rbind", "/dev", "dev")
        self.mount("-t", "proc", "proc", "proc")
        settings = {}
        for line in asked(sys.executable, "-m", "pip", "config", "list").splitlines():
            name, _, value = line.partition("=")
            name, value = name.rpartition(".")[2], ast.literal_eval(value)
            if name == "cert":
                shutil.copy(value, self.root / "etc" / "index.pem")
                value = "/etc/index.pem"
            for word in value.split():  # an index or wheels on this machine's disk
                place = Path(word.removeprefix("file://"))
                if place.is_dir():
                    place = place if word.startswith("/") else place.parent
                    (self.root / str(place)[1:]).mkdir(parents=True, exist_ok=True)
                    self.mount("--bind", "-o", "ro", place, str(place)[1:])
            settings.setdefault(name, value)  # what the environment says comes first
        lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items()), ""]
        (self.root / "etc" / "pip.conf").write_text("\n".join(lines), "utf-8")

    def mount(self, *words):
        run("mount", *words[:-1], self.root / words[-1])

    def inside(self, command):
        """The words that run a command of the shell in the image."""
        ids, home = self.ids, self.account(self.ids[0]).pw_dir
        said = {"HOME": home} | self.variables | self.arguments
        shell = f"cd {shlex.quote(self.folder)} && {command}"
        user = (f"--userspec={ids[0]}:{ids[1]}", f"--groups={ids[1]}")
        return [
            "chroot",
            *user,
            self.root,
            "env",
            "-i",
            *(f"{k}={v}" for k, v in said.items()),
            "sh",
            "-c",
            shell,
        ]

    def account(self, who):
        """The line of the image's users with this name or number."""
        lines = (self.root / "etc" / "passwd").read_text("utf-8").splitlines()
        users = [
            pwd.struct_passwd([*f[:2], int(f[2]), int(f[3]), *f[4:]]) for f in (u.split(":") for u in lines)
        ]
        return next(u for u in users if str(who) in (u.pw_name, str(u.pw_uid)))

    def copy(self, rest):
        """COPY: what git keeps is the context."""
        words = shlex.split(rest)
        options = [w for w in words if w.startswith("--")]
        *sources, target = words[len(options) :]
        owner = options[0].removeprefix("--chown=").split(":")[0] if options else "root"
        owner, target = self.account(owner), self.root / self.folder[1:] / target
        listed = asked("git", "-C", str(HERE), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for source in sources:
            base = HERE / source if (HERE / source).is_dir() else (HERE / source).parent
            found = [
                f
                for f in map(HERE.joinpath, listed.split("\0"))
                if f.is_file() and f.is_relative_to(HERE / source)
            ]
            if not found:
                sys.exit(f"COPY {source}: there is no such file")
            for file in found:
                place = target / file.relative_to(base)
                missing = [p for p in place.parents if not p.exists()]
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place)
                for path in (place, *missing):
                    os.chown(path, owner.pw_uid, owner.pw_gid)

    def follow(self, word, rest, build):
        """One instruction."""
        filled = Template(rest).safe_substitute(self.variables | self.arguments)
        print(f"\n{word} {rest}", flush=True)
        if word == "FROM":
            self.start(re.fullmatch(r"debian:(\w+)-slim", rest)[1])
        elif word == "RUN":
            run(*self.inside(rest))
        elif word == "COPY":
            self.copy(filled)
        elif word == "USER":
            self.ids = self.account(filled)[2:4]
        elif word == "WORKDIR":
            self.folder = filled
        elif word == "ENV":
            self.variables |= dict([filled.split("=", 1)])
        elif word == "ARG":
            name, _, default = filled.partition("=")
            self.arguments[name] = build.get(name, default)
        elif word == "CMD":
            self.command = json.loads(rest)
        elif word != "EXPOSE":
            sys.exit(f"{word}: not known here")

    def serves(self):
        """The image's own command runs until it says where the course is, and is ended then."""
        words = self.inside(shlex.join(self.command))
        with subprocess.Popen(words, stdout=-1, stderr=-2, text=True, start_new_session=True) as process:
            address = next((line for line in process.stdout if "http://" in line), None)
            os.killpg(process.pid, signal.SIGKILL)
        return address


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build-arg", action="append", default=[])
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, command = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        sys.exit("this needs root, and mmdebstrap: apt-get install mmdebstrap")
    if os.getpid() != 1:  # in name spaces of its own: mounts and processes end with this one
        spaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        os.execvp("unshare", ["unshare", *spaces, sys.executable, *sys.argv])
    given.folder.mkdir(parents=True, exist_ok=True)
    image = Image(given.folder.resolve())
    for word, rest in instructions(DOCKERFILE):
        image.follow(word, rest, dict(b.split("=", 1) for b in given.build_arg))
    for name in re.findall(r"^ARG (\w+)", DOCKERFILE.read_text("utf-8"), re.M):
        del image.arguments[name]  # an image keeps no argument
    for each in [shlex.join(command)] if command else TRIED:
        run(*image.inside(each))
    if not command:
        address = image.serves()
        if address is None:
            sys.exit("the image's command ended and named no address")
        print(address)
    print("whole")


if __name__ == "__main__":
    main()

"""Which other devices are known, and how does one become known?

A device is known by a file of the user's cache folder, which says how a shell is had there and what
the agent found. Its software may change only by being added again, since its numbers would.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archbench.cache_folder import cache_folder
from archbench.command_line import command_line
from archbench.digest import sha256_of_file
from archbench.errors import IncomparableError, MissingError, StorageError, UsageError, unknown_name
from archbench.measure.device.link import Link
from archbench.memory import TUNABLES
from archbench.study.atomic_file import write_atomically
from archbench.study.environment import Environment, capture
from archbench.study.measurement import Conditions

SCHEMA = "archbench.device/1"
LIMIT_BYTES = 2**30

_AGENT = Path(__file__).with_name("agent.py")
_END = "END_OF_THE_AGENT"
_NAME = re.compile(r"(?!all$|cpu|cuda)[a-z][a-z0-9_-]{0,31}")
_FOLDER = '"${HOME:-/tmp}/.archbench"'
_SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
_ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")
_MATTERS = ("cpu", "cores", "python", "packages")  # what its numbers depend on
_OF_HERE = ("archbench", "torch")  # what makes artifacts


@dataclass(frozen=True, kw_only=True)
class Device:
    """Another device: how a shell is had there, its Python, and what the agent told of it.

    The address is ``ssh:DESTINATION`` or ``cmd:COMMAND``; artifacts of up to ``limit_bytes`` are
    kept there. The machine is what an environment says, without what makes artifacts here.
    """

    name: str
    address: str
    python: str
    limit_bytes: int
    version: str
    machine: Mapping[str, Any]

    @property
    def runtimes(self) -> dict[str, str]:
        """The runtimes that are installed there, with their versions, as backends are named."""
        return {name: v for name, v in self.machine["packages"].items() if name != "numpy"}

    @property
    def environment(self) -> Environment:
        """The device with its software, and with the software here that makes artifacts."""
        here = {name: v for name, v in capture().packages.items() if name in _OF_HERE}
        packages = {**here, **self.machine["packages"]}
        return Environment(gpu=None, **{**self.machine, "packages": packages})

    @contextmanager
    def linked(self) -> Iterator[Link]:
        """An agent there, as it was when the device was added.

        Raises:
            LinkError: None answers.
            IncomparableError: The agent, or what its numbers depend on, is another.
        """
        starting = _start(self.python, limit_bytes=self.limit_bytes)
        link = Link(_shell(self.address), f"{starting}\n", name=self.name)
        try:
            self._require_same(link.greeting)
            yield link
        finally:
            link.close()

    def _require_same(self, greeting: Mapping[str, Any]) -> None:
        told, machine = greeting.get("version"), greeting["machine"]
        changes = [] if told == _version() else [f"its agent is {told!s:.20} and not {_version()}"]
        changes += [
            f"{key} was {_told(self.machine[key])} and is {_told(machine.get(key))}"
            for key in _MATTERS
            if machine.get(key) != self.machine[key]
        ]
        if changes:
            raise IncomparableError(
                f"the device is no longer as it was added: {'; '.join(changes)}",
                place=f"device {self.name}",
                help=f"{_added(self.name, self.address)} takes it as it is now; its numbers begin "
                "anew where they would differ",
            )


def known() -> dict[str, Device]:
    """The devices by name.

    Raises:
        StorageError: What is kept of one cannot be read.
    """
    found = {}
    for path in sorted(_folder().glob("*.json")):
        try:
            document = json.loads(path.read_text())
            if document.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            found[path.stem] = Device(name=path.stem, **document)
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise StorageError(
                f"it is not what is kept of a device: {error}",
                place=str(path),
                help=f"remove the file, and run {_added(path.stem, 'ADDRESS')} again",
            ) from error
    return found


def device_named(name: str, *, place: str | None = None) -> Device:
    """The device of a name.

    Raises:
        UsageError: There is none.
    """
    devices = known()
    if name not in devices:
        raise unknown_name("device", name, ("cpu", "cuda", *devices), place=place)
    return devices[name]


def default_backend(device: str) -> str:
    """The backend on a device where none is named: eager here, its first runtime elsewhere.

    Raises:
        UsageError: There is no such device.
    """
    if not Conditions(device=device).is_remote:
        return "eager"
    return next(iter(device_named(device, place="--device").runtimes))


def add(name: str, address: str, *, python: str, limit_bytes: int = LIMIT_BYTES) -> Device:
    """Copies the agent to a device, starts it, and keeps what it tells; an old one is replaced.

    Raises:
        UsageError: A name or an address that cannot be.
        LinkError: No agent answers there.
        MissingError: The device has no numpy, or no runtime.
        StorageError: It cannot be kept.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a device",
            help="use small letters, digits, - and _, and none that begins with cpu or cuda",
        )
    text, version = _AGENT.read_text(), _version()
    copying = f"mkdir -p {_FOLDER} && cat > {_FOLDER}/agent.py <<'{_END}'\n{text}{_END}\n"
    starting = _start(python, limit_bytes=limit_bytes)
    link = Link(_shell(address), f"{copying}{starting}\n", name=name)
    link.close()
    machine = link.greeting["machine"]
    if link.greeting.get("version") != version:
        raise StorageError(
            "its agent was not copied whole", place=f"device {name}", help="try again"
        )
    _require_runtime(machine["packages"], python=python, place=f"device {name}")
    device = Device(
        name=name,
        address=address,
        python=python,
        limit_bytes=limit_bytes,
        version=version,
        machine=machine,
    )
    document = {**asdict(device), "schema": SCHEMA}
    del document["name"]
    path = _folder() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document, indent=2).encode())
    return device


def forget(name: str) -> None:
    """Forgets a device; what lies on it, in ``.archbench`` of its home, stays.

    Raises:
        UsageError: There is none of this name.
    """
    device_named(name)
    (_folder() / f"{name}.json").unlink(missing_ok=True)


def _require_runtime(packages: Mapping[str, str], *, python: str, place: str) -> None:
    if "numpy" not in packages or len(packages) == 1:
        lacking = "runtime" if "numpy" in packages else "numpy"
        raise MissingError(
            f"its {python} has no {lacking}",
            place=place,
            help=f"run there: {python} -m pip install numpy onnxruntime (or openvino, ncnn, "
            "ai-edge-litert), or name another Python with --python",
        )


def _folder() -> Path:
    return cache_folder() / "devices"


def _version() -> str:
    return sha256_of_file(_AGENT)[:12]


def _added(name: str, address: str) -> str:
    return command_line("archbench", "device", "add", name, address)


def _start(python: str, *, limit_bytes: int) -> str:
    """The line that puts the agent in the place of the shell, its memory as it is held here."""
    agent = f"{command_line(python)} {_FOLDER}/agent.py {limit_bytes}"
    return f"export GLIBC_TUNABLES={TUNABLES}; exec {agent}"


def _shell(address: str) -> list[str]:
    """The command that gives a shell on a device.

    Raises:
        UsageError: The address says none.
    """
    kind, _, rest = address.partition(":")
    if kind == "ssh" and rest and not rest.startswith("-"):
        return [*_SSH, *_ALIVE, rest, "sh"]
    try:
        words = shlex.split(rest) if kind == "cmd" else []
    except ValueError:
        words = []
    if not words:
        raise UsageError(
            f"{address!r} is no address of a device",
            help="write ssh:pi@raspberrypi, or cmd: and a command that gives a shell there, as in "
            "'cmd:docker exec -i box sh'",
        )
    return words


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)

"""``archbench device``: which other devices are there to measure on?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, option

if TYPE_CHECKING:
    from archbench.measure.device.known import Device

SCHEMA = "archbench.devices/1"


@click.group(cls=option.ListByDefault, subcommand_metavar="[list] | add NAME ADDRESS | remove NAME")
def command() -> None:
    """Other devices that networks are timed on, such as a small board.

    A device that was added is a --device of profile, compare, doctor, measure, estimate and
    search, and the device of a space's target. Networks are exported here and timed there by an
    agent, which needs a Python with numpy and a runtime, and no torch.
    """


@command.command("list")
@option.JSON
def list_() -> None:
    """The devices that were added."""
    from archbench.measure.device.known import known
    from archbench.report.findings import device as findings

    console.tell(findings.listing(_document(*known().values())))


@command.command()
@click.argument("name")
@click.argument("address")
@click.option("--python", metavar="FILE", default="python3", help="Python of the device.")
@click.option(
    "--limit",
    "limit_bytes",
    metavar="BYTES",
    type=option.number,
    default="1G",
    help="Bytes of networks that are kept there at most.",
)
@option.JSON
def add(name: str, address: str, *, python: str, limit_bytes: float) -> None:
    """Add a device NAME, or add it again after its software changed.

    ADDRESS is ssh:DESTINATION, as the system's ssh takes it, with its keys and jumps; or
    cmd:COMMAND with any command that gives a shell, as 'cmd:docker exec -i box sh'.
    """
    from archbench.measure.device import known
    from archbench.report.findings import device as findings

    added = known.add(name, address, python=python, limit_bytes=int(limit_bytes))
    console.tell(findings.added(_document(added)))


@command.command()
@click.argument("name")
@option.JSON
def remove(name: str) -> None:
    """Forget the device NAME; what was copied to it stays there."""
    from archbench.measure.device.known import forget, known
    from archbench.report.findings import device as findings

    forget(name)
    console.tell(findings.listing(_document(*known().values())))


def _document(*devices: Device) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "devices": [
            {
                "name": device.name,
                "address": device.address,
                **device.machine,
                "runtimes": device.runtimes,
            }
            for device in devices
        ],
    }

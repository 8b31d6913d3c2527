"""``archbench certify``: can this proxy rank this space?"""

from dataclasses import asdict
from typing import Any

import click

from archbench.cli import console, option
from archbench.errors import NEGATIVE_RESULT

DESIGN_SCHEMA = "archbench.certificate-design/1"


@click.command()
@click.argument("space", required=False)
@click.option(
    "--candidates",
    type=option.whole("candidates"),
    help="Size of the sample, spread over the MACs; 32 by default.",
)
@click.option(
    "--seeds",
    type=option.whole("trainings", least=2),
    help="Trainings of each candidate, of either length; 2 by default.",
)
@click.option(
    "--longer",
    metavar="EPOCHS",
    type=option.whole("epochs", least=2),
    help="Epochs of the longer trainings; by default twice those of the proxy.",
)
@option.SET
@option.DATA
@option.DOWNLOAD
@click.option("--seed", type=option.whole("seed"), help="Seed of the sample and of all trainings.")
@option.max_minutes(help="Time limit; fewer candidates, then fewer seeds are planned to keep it.")
@option.WORKERS
@click.option("--name", help="Name of the study; certify-SPACE by default.")
@click.option("--resume", is_flag=True, help="Continue the study; SPACE may be left out.")
@option.DRY_RUN
@option.RESULTS
@option.JSON
def command(space: str | None, overrides: tuple[str, ...], **asked: Any) -> int:
    """Test whether the proxy of SPACE can rank it: train a sample as the search would, and longer.

    Says how well the short trainings order candidates, overall and at equal cost. Exit code 1
    means that a front found by this proxy cannot be trusted. Ctrl-C parks it.
    """
    from archbench.report.finding import Finding
    from archbench.report.findings import certificate
    from archbench.search.certificate import certify
    from archbench.search.certificate_design import CertificateDesign, in_words
    from archbench.space import SearchSpace

    typed = option.typed_command("--resume", "--json")
    with console.Meter() as progress:
        found = certify(
            SearchSpace.load(space, overrides=overrides) if space else None,
            command=typed,
            on_progress=progress,
            on_note=progress.say,
            **asked,
        )
    if isinstance(found, CertificateDesign):
        known = {"num_trainings": found.num_trainings, "seconds": found.seconds}
        document = {"schema": DESIGN_SCHEMA, **asdict(found), **known}
        told = [in_words(found), "--max-minutes or --candidates NUMBER plans fewer."]
        console.tell(Finding(document, told, option.typed_command("--dry-run")))
        return 0
    finding = certificate.finding(found)
    console.tell(finding, files=finding.write(found.path / "report"))
    return 0 if found.is_certified else NEGATIVE_RESULT

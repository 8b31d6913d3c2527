"""A certificate before the first trial of a search that is long, or where somebody wants it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from archbench.analysis.certificate import CertificateSummary, find_certificate, subject_of
from archbench.errors import UsageError
from archbench.search import journal
from archbench.search.certificate import Told, Work, train
from archbench.search.certificate_design import Design, fitted, in_words
from archbench.search.certificate_plan import Asked, create, designed
from archbench.search.certificate_training import is_certificate, read_certificate
from archbench.search.context import StudyContext
from archbench.search.preparation import proxy_document
from archbench.search.settings import Settings
from archbench.study.folder import ownership, require_writable, tidy

SHARE = 0.2
"""Of the search's time that a certificate may take for a search to begin with one by itself."""

_TELLINGS = 8


def certify_first(context: StudyContext, *, dry_run: bool) -> None:
    """Takes the certificate of a prepared study, if it is wanted and none is there.

    Its price is said first.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; the same command goes on with it.
        ArchbenchError: It cannot be stored or trained.
    """
    settings = context.settings
    subject = subject_of(context.header)
    found = find_certificate(settings.path.parent, subject)
    if found is not None:
        _tell(context, found)
        return
    if settings.search.certify == "never":
        return
    identity = json.dumps(subject, sort_keys=True).encode()
    name = f"certify-{settings.space.name[:40]}-{hashlib.sha256(identity).hexdigest()[:8]}"
    own = replace(settings, path=settings.path.parent / name)
    design = _design(context, own)
    if design is None or dry_run:
        return
    if not is_certificate(own.path):
        require_writable(own.path.parent)
        create(
            own,
            design=design,
            proxy=context.proxy,
            facts=_facts(context),
            environment=context.environment,
            command=settings.command,
            notes=[],
        )
    with ownership(own.path, truth=journal.PLAN):
        tidy(own.path)
        journal.mend(own.path)
        told = Told(progress=_progress(context), note=context.say)
        train(Work(context=context, told=told), own.path)
    _tell(context, read_certificate(own.path).summary)


def _design(context: StudyContext, own: Settings) -> Design | None:
    """What is to be trained; None where the search is too short for it to be worth it."""
    each, search = context.header["trial_seconds"], own.search
    wanted = designed(
        own,
        Asked(),
        # With the latency, so that it is rather less than told.
        training_seconds=each / context.proxy.num_seeds,
        workers=context.workers,
    )
    search_seconds = each * own.expected_trials / context.workers
    if search.time_limit_s is not None:
        search_seconds = min(search_seconds, search.time_limit_s)
    if search.certify == "auto":
        try:
            wanted = fitted(wanted, max_seconds=SHARE * search_seconds)
        except UsageError:
            return None
    share = 100 * wanted.seconds / search_seconds
    context.say(
        f"a certificate of the proxy comes first: {in_words(wanted)}, {share:.0f} % of the "
        "search; --no-certify leaves it out"
    )
    return wanted


def _facts(context: StudyContext) -> dict[str, Any]:
    """What the header keeps of the data and the teacher."""
    own = proxy_document(context.proxy)
    return {key: value for key, value in context.header["proxy"].items() if key not in own}


def _progress(context: StudyContext) -> Callable[[str, int, int], None]:
    told = set[int]()

    def progress(what: str, done: int, total: int) -> None:
        step = _TELLINGS * done // max(total, 1)
        if step not in told:
            told.add(step)
            context.say(f"certifying the proxy: {done} of {total} trainings")

    return progress


def _tell(context: StudyContext, found: CertificateSummary) -> None:
    text = f"{found.text} ({found.name}). {found.sentence}"
    if found.state == "certified":
        context.say(text)
    else:
        context.warn(text)

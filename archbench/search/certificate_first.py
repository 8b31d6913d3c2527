"""A certificate before the first trial of a search that is long, or where somebody wants it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archbench.analysis.certificate import (
    CertificateSummary,
    find_certificate,
    subject_of,
)
from archbench.errors import UsageError
from archbench.search import events, journal
from archbench.search.certificate import Told, Work, train
from archbench.search.certificate_design import Design, fitted, in_words
from archbench.search.certificate_plan import Asked, create, designed
from archbench.search.certificate_training import is_certificate, read_certificate
from archbench.search.preparation import Grounds
from archbench.search.settings import Request
from archbench.study.environment import Environment
from archbench.study.folder import ownership, require_writable, tidy

if TYPE_CHECKING:
    from archbench.search.interruption import Interruption
    from archbench.search.job import Engine

SHARE = 0.2
"""Of the search's time that a certificate may take for a search to begin with one by itself."""

_TELLINGS = 8


@dataclass(frozen=True, kw_only=True)
class First:
    """What stands before the first trial of a new study that is prepared."""

    request: Request
    grounds: Grounds
    header: Mapping[str, Any]
    environment: Environment
    interruption: Interruption
    listener: events.Listener

    def certify(self, engine: Engine, *, dry_run: bool) -> None:
        """Takes the certificate, if it is wanted and none is there; says its price first.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; the same command goes on with it.
            ArchbenchError: It cannot be stored or trained.
        """
        subject = subject_of(self.header)
        found = find_certificate(self.request.path.parent, subject)
        if found is not None:
            self._tell(found)
            return
        if self.request.certify == "never":
            return
        identity = json.dumps(subject, sort_keys=True).encode()
        name = f"certify-{self.request.space.name[:40]}-{hashlib.sha256(identity).hexdigest()[:8]}"
        own = replace(self.request, path=self.request.path.parent / name)
        design = self._design(own, engine)
        if design is None or dry_run:
            return
        work = Work(
            request=own,
            told=Told(progress=self._progress(), note=self._say),
            interruption=self.interruption,
        )
        if not is_certificate(own.path):
            require_writable(own.path.parent)
            create(
                own,
                design=design,
                proxy=self.grounds.proxy,
                facts=self._facts(),
                environment=self.environment,
                command=self.request.command,
                notes=[],
            )
        with ownership(own.path, truth=journal.PLAN):
            tidy(own.path)
            journal.mend(own.path)
            train(work, engine)
        self._tell(read_certificate(own.path).summary)

    def _design(self, own: Request, engine: Engine) -> Design | None:
        """What is to be trained; None where the search is too short for it to be worth it."""
        proxy = self.grounds.proxy
        wanted = designed(
            own,
            Asked(),
            # With the latency, so that it is rather less than told.
            training_seconds=self.grounds.trial_seconds / proxy.num_seeds,
            workers=engine.workers,
        )
        search_seconds = self.grounds.trial_seconds * self.request.expected_trials / engine.workers
        if self.request.time_limit_s is not None:
            search_seconds = min(search_seconds, self.request.time_limit_s)
        if self.request.certify == "auto":
            try:
                wanted = fitted(wanted, max_seconds=SHARE * search_seconds)
            except UsageError:
                return None
        share = 100 * wanted.seconds / search_seconds
        self._say(
            f"a certificate of the proxy comes first: {in_words(wanted)}, {share:.0f} % of the "
            "search; --no-certify leaves it out"
        )
        return wanted

    def _facts(self) -> dict[str, Any]:
        """What the header keeps of the data and the teacher."""
        own = ("resolution", "stem", "rungs", "seeds", "device", "recipe")
        return {key: value for key, value in self.header["proxy"].items() if key not in own}

    def _progress(self) -> Any:
        told = set[int]()

        def progress(what: str, done: int, total: int) -> None:
            step = _TELLINGS * done // max(total, 1)
            if step not in told:
                told.add(step)
                self._say(f"certifying the proxy: {done} of {total} trainings")

        return progress

    def _tell(self, found: CertificateSummary) -> None:
        text = f"{found.text} ({found.name}). {found.sentence}"
        if found.state == "certified":
            self._say(text)
        else:
            self.listener(events.Warned(text=text))

    def _say(self, text: str) -> None:
        self.listener(events.StageChanged(text=text))

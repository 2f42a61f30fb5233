"""What would be raised by other settings than those of the present, all in memory."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from anomalies.detection.finding import Finding
from anomalies.models import Anomaly, Series
from anomalies.services import causes, merging
from anomalies.services.detectors import Judges
from anomalies.services.differences import Raised, as_raised


@dataclass(eq=False, slots=True)
class One:
    """An anomaly that one side raises, or, without `raised`, one that there is and that both sides have."""

    type: str
    kind: str
    entity: str
    started_at: datetime
    active_until: datetime
    evidence: Mapping[str, Any]
    told_by: Sequence[str]
    explained_by: Sequence[str]
    severity: int
    raised: Raised | None = None
    whole: "One | None" = None

    @classmethod
    def of_finding(cls, one: Finding) -> Self:
        start, end = causes.Deviating.of_finding(one).start, causes.Deviating.of_finding(one).end
        told = (one.evidence, one.told_by, one.explained_by, one.severity)
        return cls(one.type, one.kind, one.entity, start, end, *told, raised=as_raised(one))

    @classmethod
    def of_anomaly(cls, one: Anomaly) -> Self:
        told = (one.evidence, one.told_by, one.explained_by, one.severity)
        return cls(one.type, one.kind, one.entity, one.started_at, one.active_until, *told)


class Side:
    """What is raised by one of the two settings; `causes` looks among it as it does among the anomalies there are."""

    def __init__(self, judges: Judges, asked: dict[tuple[Any, ...], Any]) -> None:
        self.judges = judges
        self._asked = asked  # of the events, by both sides
        self._ones: dict[str, list[One]] = defaultdict(list)
        self._of_entity: dict[tuple[str, str], list[One]] = defaultdict(list)

    def add(self, one: One) -> None:
        self._ones[one.kind].append(one)
        self._of_entity[one.kind, one.entity].append(one)

    def some(self, wanted: causes.Wanted) -> bool:
        return next(iter(self._fitting(wanted)), None) is not None

    def find(self, wanted: causes.Wanted) -> Iterable[One]:
        return sorted(self._fitting(wanted), key=lambda one: one.started_at)

    def whole_of(self, one: One) -> One:
        return one.whole or one

    def ask(self, question: Callable[..., causes.Answer], *about: Any) -> causes.Answer:
        if (question, *about) not in self._asked:
            self._asked[question, *about] = question(*about)
        answer: causes.Answer = self._asked[question, *about]
        return answer

    def told(self, finding: Finding) -> bool:
        """Say whether something of this side tells of a finding already; that is as severe then."""
        if finding.kind == Series.Kind.AGENT:  # is raised in any case, and may be merged
            return False
        cause = causes.cause_among(self, causes.Deviating.of_finding(finding))
        if cause is not None:
            cause.severity = max(cause.severity, finding.severity)
        return cause is not None

    def reconcile(self) -> None:
        """Merge what has the cause of another, as `merging.reconcile` does."""
        for kind in merging.KINDS:
            for one in self._ones[kind]:
                if one.raised is None:
                    continue
                cause = causes.cause_among(self, causes.Deviating.of_anomaly(one)) or causes.target_among(self, one)
                if cause is not None and cause is not one:
                    self._merge(one, cause)

    def standing(self, since: datetime) -> list[Raised]:
        """Return what stands for itself and began since then."""
        return [
            one.raised.as_severe_as(one.severity)
            for kind in merging.KINDS
            for one in self._ones[kind]
            if one.raised is not None and one.whole is None and one.started_at >= since
        ]

    def _merge(self, one: One, cause: One) -> None:
        for part in itertools.chain.from_iterable(self._ones.values()):
            if part is one or part.whole is one:
                part.whole = cause
        cause.severity = max(cause.severity, one.severity)

    def _fitting(self, wanted: causes.Wanted) -> Iterator[One]:
        ones = self._of_entity[wanted.kind, wanted.entity] if wanted.entity else self._ones[wanted.kind]
        for one in ones:
            meanwhile = one.started_at < wanted.end and one.active_until > wanted.start
            if one.type in wanted.types and meanwhile and (not wanted.guessing or causes.GUESSING in one.evidence):
                yield one

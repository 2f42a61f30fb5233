"""Keeping: from findings in memory to anomalies for review."""

import copy
import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Min

from anomalies.detection.finding import Finding
from anomalies.models import Anomaly, Interval, ReviewEntry, Scan, Series, Severity
from anomalies.services import decisions, evidence, merging, metrics, notices, severities, suppressions
from anomalies.services.lags import LATE_HORIZON
from anomalies.services.locks import Lock, call
from anomalies.services.outbox import announce
from anomalies.services.timeline import record

TICK_SECONDS = 60  # between scheduled scans


@dataclass(slots=True)
class Kept:
    raised: int = 0
    of_the_past: int = 0  # of those raised
    extended: int = 0
    closed: int = 0
    withdrawn: int = 0
    merged: int = 0
    no_longer_past: list[int] = field(default_factory=list)  # anomalies that turn out to go on


def keep(
    findings: Sequence[Finding],
    *,
    told: Sequence[tuple[Finding, Anomaly]] = (),
    kind: str,
    judged_from: Mapping[str, datetime],
    scan: Scan,
    replayed: bool,
    still_judged: Callable[[Anomaly], bool],
) -> Kept:
    """Raise, extend, merge, close and withdraw anomalies of entities that were judged, in the caller's transaction.

    A finding belongs to the anomaly of the same type, entity and topic that it overlaps; an anomaly takes one finding:
    entities are judged from the start of the anomalies on that could go on, so that detectors join what belongs
    together. Further anomalies that it overlaps have turned out to be one with that. What people decided about an
    anomaly stays, unless its severity rises. `told` are findings of which another entity's anomaly is the cause.

    An anomaly without a finding is back in its band and closes; if it was judged as a whole, by the same parameters
    (`still_judged`), events that came late explain it, and it is withdrawn. `replayed`: findings are dated by the tick
    that would have found them, not by now.

    What had ended longer before the scan before this one than late events are waited for is of the past: events of it
    were read in, or counted anew, or a detector is new. It is dated as by a replay, and nobody is told.
    """
    kept = Kept()
    known = _known(findings, told, kind, judged_from)
    counted = _counted(kind, known)
    pairs = _match(findings, known, scan, replayed, kept, counted)
    confirmed = set(pairs)
    for finding, anomaly in [*pairs.values(), *told]:
        kept.merged += _merge(known[_key(finding)], finding, confirmed, anomaly, scan, counted)
    parts = [pair for pk, pair in pairs.items() if pair[1].pk != pk]
    metrics.attach([*told, *parts], kind=kind, judged_from=judged_from, scan=scan)

    for anomaly in itertools.chain.from_iterable(known.values()):
        if anomaly.pk not in confirmed and anomaly.merged_into_id is None and not _known_later(anomaly, scan):
            whole = anomaly.started_at >= judged_from[anomaly.entity]
            if whole and still_judged(anomaly):
                kept.withdrawn += _withdraw(anomaly, scan)
            elif anomaly.state == Anomaly.State.OPEN:
                kept.closed += _close(anomaly, scan, at=scan.now)
    return kept


def _match(
    findings: Sequence[Finding],
    known: dict[tuple[str, str, str], list[Anomaly]],
    scan: Scan,
    replayed: bool,
    kept: Kept,
    counted: Mapping[str, datetime],
) -> dict[int, tuple[Finding, Anomaly]]:
    """Give each finding its anomaly, or the one that this was merged into; return the pairs by the anomaly's number."""
    confirmed: dict[int, tuple[Finding, Anomaly]] = {}
    for finding in sorted(findings, key=lambda finding: (finding.start, finding.type, finding.entity, finding.topic)):
        candidates = [one for one in known[_key(finding)] if one.pk not in confirmed and _overlap(finding, one)]
        # One that stands for itself, before one that was merged into another.
        match = next(iter(sorted(candidates, key=lambda one: one.merged_into_id is not None)), None)
        if match is None:
            match = _raise(finding, scan, replayed)
            known[_key(finding)].append(match)
            kept.raised += 1
            kept.of_the_past += match.of_the_past
        else:
            whole = match.merged_into
            of_another = whole if whole is not None and not merging.same_series(match, whole) else None
            if _known_later(match, scan):
                confirmed[match.pk] = finding, of_another or match  # whose metric it stays
                continue
            if of_another is not None:
                _refresh(match, finding, scan, counted)  # its cause is looked for once all kinds are judged
                confirmed[match.pk] = finding, of_another
                continue
            if whole is not None:
                merging.part(match, open_=finding.open, scan=scan)
            was_past = match.of_the_past
            kept.extended += _extend(match, finding, scan, replayed, counted)
            if was_past and not match.of_the_past:
                kept.no_longer_past.append(match.pk)
        confirmed[match.pk] = finding, match
        if match.state == Anomaly.State.OPEN and not finding.open:
            # By the tick that found it, if it was over by then; else when it was over.
            dated = replayed or match.of_the_past
            ended_at = max(match.detected_at, match.active_until) if dated else scan.now
            kept.closed += _close(match, scan, at=min(ended_at, scan.now))
    return confirmed


def agree(scan: Scan) -> None:
    """Let the severity of anomalies follow who agrees and what is part of them, once a scan has judged all kinds."""
    if Anomaly.objects.filter(last_scan=scan).exists():
        with transaction.atomic():
            call("pg_advisory_xact_lock_shared", Lock.DECISIONS)
            _agree(scan)


def _agree(scan: Scan) -> None:
    for before, anomaly in severities.due(scan):
        if not _changed(before, anomaly):
            continue
        worse = anomaly.severity > before.severity
        if anomaly.severity != before.severity:
            _say_severity(anomaly, before, scan, severities.why(anomaly, before))
        asked_again = _ask_again(anomaly, scan, worse=worse)
        anomaly.updated_at, anomaly.last_scan = scan.now, scan
        anomaly.save()
        if asked_again or worse:
            _announce("anomaly.detected" if asked_again else "anomaly.updated", anomaly)


def _known(
    findings: Sequence[Finding],
    told: Sequence[tuple[Finding, Anomaly]],
    kind: str,
    judged_from: Mapping[str, datetime],
) -> dict[tuple[str, str, str], list[Anomaly]]:
    """Return the anomalies of these entities that the findings may be about, or that were judged, by start."""
    starts = [_time(finding.start) for finding in [*findings, *(finding for finding, _ in told)]]
    earliest = min([*starts, *judged_from.values()]) - timedelta(hours=2)
    known: dict[tuple[str, str, str], list[Anomaly]] = defaultdict(list)
    stored = Anomaly.objects.filter(active_until__gte=earliest) | Anomaly.objects.filter(state=Anomaly.State.OPEN)
    locked = (
        stored.filter(kind=kind, entity__in=list(judged_from))
        .select_related("last_scan", "merged_into")
        .prefetch_related("metrics__intervals")
        .select_for_update(of=("self",))
        .order_by("id")
    )
    for anomaly in sorted(locked, key=lambda one: (one.started_at, one.pk)):
        known[anomaly.type, anomaly.entity, anomaly.topic].append(anomaly)
    return known


def _known_later(anomaly: Anomaly, scan: Scan) -> bool:
    """Return whether a scan as of a later time has seen more of it: a clock that goes back takes nothing back."""
    return anomaly.last_scan is not None and anomaly.last_scan.now > scan.now


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.type, finding.entity, finding.topic


def _counted(kind: str, known: Mapping[tuple[str, str, str], Sequence[Anomaly]]) -> dict[str, datetime]:
    """Return the earliest time counted since detection last looked, of the entities of which anything was."""
    if not (entities := {entity for _, entity, _ in known}):
        return {}
    series = Series.objects.filter(kind=kind, entity__in=entities, dirty_from__isnull=False)
    return dict(series.values_list("entity").annotate(Min("dirty_from")))


def _merge(
    known: Sequence[Anomaly],
    finding: Finding,
    confirmed: set[int],
    into: Anomaly,
    scan: Scan,
    counted: Mapping[str, datetime],
) -> int:
    """Merge what the finding shows to be one with another anomaly, and return how many that are."""
    merged = 0
    for anomaly in known:
        if anomaly.pk not in confirmed and anomaly.pk != into.pk and _overlap(finding, anomaly):
            merged += merging.merge(anomaly, into=into, scan=scan)
            if not merging.same_series(anomaly, into):
                _refresh(anomaly, finding, scan, counted)
            confirmed.add(anomaly.pk)
    return merged


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _overlap(finding: Finding, anomaly: Anomaly) -> bool:
    return finding.start <= anomaly.active_until.timestamp() and finding.end >= anomaly.started_at.timestamp()


def _fingerprint(finding: Finding) -> str:
    """Detector, series and start; numbered where an anomaly that began then has turned out to begin at another time."""
    topic = f"|{finding.topic}" if finding.topic else ""
    identity = f"{finding.type}|{finding.kind}|{finding.entity}|{finding.start:.6f}{topic}"
    for number in itertools.count(1):
        fingerprint = hashlib.sha256(f"{identity}|{number}".encode()).hexdigest()
        if not Anomaly.objects.filter(fingerprint=fingerprint).exists():
            break
    return fingerprint


def _raise(finding: Finding, scan: Scan, replayed: bool) -> Anomaly:
    of_the_past = _is_past(finding, scan)
    detected_at = _noticed_at(finding, scan) if replayed or of_the_past else scan.now
    anomaly = Anomaly(
        fingerprint=_fingerprint(finding),
        type=finding.type,
        kind=finding.kind,
        entity=finding.entity,
        topic=finding.topic,
        severity=finding.severity,
        score=finding.score,
        description=finding.description,
        started_at=_time(finding.start),
        active_until=_time(finding.end),
        detected_at=detected_at,
        updated_at=scan.now,
        evidence=finding.evidence,
        resolution_seconds=finding.resolution_seconds,
        deviation=finding.deviation,
        of_the_past=of_the_past,
        scan=scan,
        last_scan=scan,
        told_by=list(finding.told_by),
        explained_by=list(finding.explained_by),
    )
    _describe(anomaly, finding)
    anomaly.suppression = suppressions.in_force_for(anomaly, at=detected_at)
    anomaly.save(force_insert=True)
    metrics.store(anomaly, finding)
    untold = "; it had ended long before it could be seen, and nobody was told" if of_the_past else ""
    record(anomaly, ReviewEntry.Action.DETECTED, detected_at, note=f"{_severity_name(finding.severity)}{untold}")
    if anomaly.suppression:
        record(anomaly, ReviewEntry.Action.SUPPRESSED, detected_at, note=suppressions.told(anomaly.suppression))
    _announce("anomaly.detected", anomaly)
    return anomaly


def _is_past(finding: Finding, scan: Scan) -> bool:
    return not finding.open and _time(finding.end) < scan.seen_until - LATE_HORIZON


def _noticed_at(finding: Finding, scan: Scan) -> datetime:
    """The first tick of the schedule at which the finding would have been raised."""
    return min(_time(math.ceil(finding.raised_at / TICK_SECONDS) * TICK_SECONDS), scan.now)


def _bring_up(anomaly: Anomaly, finding: Finding, counted: Mapping[str, datetime]) -> None:
    """Let an anomaly say what its finding does."""
    events = finding.entity in counted and counted[finding.entity] < _time(finding.end)
    if events or not _told(anomaly, finding):
        _describe(anomaly, finding)
    else:
        anomaly.evidence = {**finding.evidence, "events": anomaly.evidence["events"]}
    # Judged anew from its start on: a finer resolution may know both ends better than what was known at first.
    anomaly.started_at, anomaly.active_until = _time(finding.start), _time(finding.end)
    anomaly.description, anomaly.score, anomaly.severity = finding.description, finding.score, finding.severity
    anomaly.resolution_seconds, anomaly.deviation = finding.resolution_seconds, finding.deviation
    anomaly.told_by, anomaly.explained_by = list(finding.told_by), list(finding.explained_by)


def _told(anomaly: Anomaly, finding: Finding) -> bool:
    """Return whether an anomaly says all that its finding does, so that of the same events the same would be said."""
    known = {name: figure for name, figure in anomaly.evidence.items() if name not in ("events", *severities.DERIVED)}
    return known == finding.evidence and (anomaly.started_at, anomaly.active_until) == (
        _time(finding.start),
        _time(finding.end),
    )


def _refresh(anomaly: Anomaly, finding: Finding, scan: Scan, counted: Mapping[str, datetime]) -> None:
    """Keep a part of another anomaly up with its finding, so that it can stand for itself again."""
    _bring_up(anomaly, finding, counted)
    anomaly.state, anomaly.ended_at, anomaly.last_scan = Anomaly.State.CLOSED, anomaly.active_until, scan
    anomaly.save()


def _extend(anomaly: Anomaly, finding: Finding, scan: Scan, replayed: bool, counted: Mapping[str, datetime]) -> bool:
    """Bring an anomaly up to what is known now, and say whether anything changed."""
    before = copy.copy(anomaly)
    _bring_up(anomaly, finding, counted)
    if replayed:
        anomaly.detected_at = min(anomaly.detected_at, _noticed_at(finding, scan))
    anomaly.of_the_past = anomaly.of_the_past and _is_past(finding, scan)
    severities.keep(before, anomaly)
    resumed = anomaly.state == Anomaly.State.WITHDRAWN or (finding.open and anomaly.state == Anomaly.State.CLOSED)
    if resumed:
        anomaly.state, anomaly.ended_at = Anomaly.State.OPEN, None
    elif anomaly.state == Anomaly.State.CLOSED:
        anomaly.ended_at = anomaly.active_until
    if not metrics.keep(anomaly, finding) and not _changed(before, anomaly):
        return False

    if anomaly.detected_at < before.detected_at:
        record(anomaly, ReviewEntry.Action.EXTENDED, scan.now, note="dated by a replay of the history")
    if resumed:
        record(anomaly, ReviewEntry.Action.EXTENDED, scan.now, note=finding.description)
    worse = anomaly.severity > before.severity
    if anomaly.severity != before.severity:
        _say_severity(anomaly, before, scan)
    asked_again = _ask_again(anomaly, scan, worse=worse)
    anomaly.updated_at, anomaly.last_scan = scan.now, scan
    anomaly.save()
    if asked_again or anomaly.of_the_past != before.of_the_past:
        _announce("anomaly.detected", anomaly)
    elif resumed or worse:
        _announce("anomaly.updated", anomaly)
    return True


def _changed(before: Anomaly, after: Anomaly) -> bool:
    return any(
        getattr(before, field.attname) != getattr(after, field.attname) for field in Anomaly._meta.concrete_fields
    )


def _say_severity(anomaly: Anomaly, before: Anomaly, scan: Scan, why: str = "") -> None:
    worse = anomaly.severity > before.severity
    note = f"severity {'rose' if worse else 'fell'} from {_severity_name(before.severity)} to "
    note += f"{_severity_name(anomaly.severity)}{f': {why}' if why else ''}"
    action = ReviewEntry.Action.ESCALATED if worse else ReviewEntry.Action.EXTENDED
    record(anomaly, action, scan.now, note=note)
    if worse:
        _reopen(anomaly, scan, note)


def _reopen(anomaly: Anomaly, scan: Scan, note: str) -> None:
    """A decision, or a snooze, was about something milder: ask again, and say why. What was decided stays told."""
    decided = anomaly.status != Anomaly.Status.OPEN
    if not decided and anomaly.snoozed_until is None:
        return
    from_status, snoozed = anomaly.status, anomaly.snoozed_until is not None
    changes = decisions.forget(anomaly)
    entry = record(
        anomaly,
        ReviewEntry.Action.REOPENED if decided else ReviewEntry.Action.WOKEN,
        scan.now,
        note=note,
        from_status=from_status if decided else "",
        to_status=Anomaly.Status.OPEN if decided else "",
        changes=changes,
    )
    if snoozed:
        notices.tell_who_snoozed([entry.pk])


def _ask_again(anomaly: Anomaly, scan: Scan, *, worse: bool) -> bool:
    """Bring a suppressed anomaly back for review where its suppression does not cover it any more, and say so."""
    why = suppressions.uncovered(anomaly, worse=worse, at=scan.now)
    if not why:
        return False
    anomaly.suppression = None
    record(anomaly, ReviewEntry.Action.REOPENED, scan.now, note=why)
    return True


def _announce(type_: str, anomaly: Anomaly) -> None:
    """Tell others, unless nobody is to be asked about it, or it was over long ago."""
    if anomaly.suppression_id is None and not anomaly.of_the_past:
        announce(type_, anomaly)


def _close(anomaly: Anomaly, scan: Scan, *, at: datetime) -> bool:
    return _end(anomaly, Anomaly.State.CLOSED, ReviewEntry.Action.CLOSED, "no further deviation", scan, at)


def _withdraw(anomaly: Anomaly, scan: Scan) -> bool:
    if anomaly.state == Anomaly.State.WITHDRAWN:
        return False
    note = "events that came late explain it"
    return _end(anomaly, Anomaly.State.WITHDRAWN, ReviewEntry.Action.WITHDRAWN, note, scan, scan.now)


def _end(
    anomaly: Anomaly, state: Anomaly.State, action: ReviewEntry.Action, note: str, scan: Scan, at: datetime
) -> bool:
    anomaly.state, anomaly.ended_at = state, anomaly.active_until
    anomaly.updated_at, anomaly.last_scan = scan.now, scan
    anomaly.save(update_fields=["state", "ended_at", "updated_at", "last_scan"])
    Interval.objects.filter(metric__anomaly=anomaly, state=Anomaly.State.OPEN).update(state=Anomaly.State.CLOSED)
    record(anomaly, action, at, note=note)
    _announce("anomaly.closed", anomaly)
    return True


def _describe(anomaly: Anomaly, finding: Finding) -> None:
    """Fill in what the finding is about, or else what all events behind the anomaly share, and which they are."""
    events = finding.kind, finding.entity, _time(finding.start), _time(finding.end)
    common, involved = evidence.in_common(*events), evidence.involved(*events)
    anomaly.agent_id = finding.entity if finding.kind == "agent" else common.agent_id
    anomaly.principal_id = (
        finding.entity if finding.kind == "principal" else finding.principal_id or common.principal_id
    )
    anomaly.ip = finding.entity if finding.kind == "address" else common.ip
    anomaly.integration = finding.integration or common.integration or ""
    anomaly.resource = finding.resource or common.resource or ""
    anomaly.resource_type = finding.resource_type or common.resource_type or ""
    anomaly.grant_id = common.grant_id or ""
    anomaly.platforms = [finding.integration] if finding.integration else involved.platforms
    anomaly.countries = sorted(finding.evidence.get("countries", involved.countries))
    told_of = [finding.principal_id] if finding.principal_id else involved.principal_ids
    anomaly.principal_ids = told_of
    anomaly.principal_count = len(told_of) if finding.principal_id else involved.principal_count
    anomaly.evidence = {**finding.evidence, "events": {"count": common.count, "hash": common.hash}}


def _severity_name(severity: int) -> str:
    return str(Severity(severity).label)

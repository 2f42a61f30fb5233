"""Rows made by PostgreSQL itself: as many as the budgets name, in seconds."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from anomalies.models import Anomaly, Batch, Scan, Source
from anomalies.services import partitions
from anomalies.services.counts import BLOCK_SECONDS

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
EVENTS_A_BATCH = 1000
USUAL_AN_HOUR = 240  # requests of an agent
ALL = (
    "anomalies_event", "anomalies_batch", "anomalies_source", "anomalies_agent", "anomalies_principal",
    "anomalies_agentprincipal", "anomalies_sighting", "anomalies_series", "anomalies_anomaly", "anomalies_scan",
)  # fmt: skip
_FINE_DAYS = {60: 2, 300: 8}  # of history; no more is read, and a scan is as fast with a year of it

# An agent does one thing, for two users, from an address that it shares with nine others.
_EVENTS = """
INSERT INTO anomalies_event
    (source_id, batch_id, external_id, time, agent_id, principal_id, action, status, ip, grant_id, request_id, resource,
     resource_type, integration, permission, country, city, user_agent, metadata)
SELECT %(source)s, %(batch)s + n / %(a_batch)s, 'bench-' || %(batch)s || '-' || n,
       %(start)s::timestamptz + n * (%(span)s::interval / %(count)s),
       'ag_' || agent, 'user_' || (agent / 2 + n %% 2 * 7) %% greatest(%(agents)s / 2, 1),
       (ARRAY['document.read', 'mail.send', 'record.update'])[agent %% 3 + 1],
       CASE WHEN n %% 33 = 0 THEN 'failure' ELSE 'success' END,
       ('10.0.' || agent / 10 / 250 || '.' || agent / 10 %% 250)::inet,
       '', '', 'projects/' || n %% 50, 'document', 'drive', 'drive.read', 'DE', '', 'grantex-python/0.7', '{}'
FROM (SELECT n, (n * 7919::bigint %% %(agents)s)::integer AS agent
      FROM generate_series(0, %(count)s - 1) AS n) AS numbered
"""

_ACTORS = """
INSERT INTO anomalies_agent
    (public_id, name, description, scopes, status, time_zone, holidays, first_seen, last_seen)
SELECT 'ag_' || n, '', '', '[]', 'active', 'UTC', '[]', %(first)s::timestamptz, %(last)s::timestamptz
FROM generate_series(0, %(agents)s - 1) AS n;
INSERT INTO anomalies_principal (public_id, name, email, first_seen, last_seen)
SELECT 'user_' || n, '', '', %(first)s::timestamptz, %(last)s::timestamptz
FROM generate_series(0, greatest(%(agents)s / 2, 1) - 1) AS n;
INSERT INTO anomalies_agentprincipal (agent_id, principal_id, first_seen, last_seen)
SELECT DISTINCT 'ag_' || agent, 'user_' || (agent / 2 + which * 7) %% greatest(%(agents)s / 2, 1),
       %(first)s::timestamptz, %(last)s::timestamptz
FROM generate_series(0, %(agents)s - 1) AS agent, generate_series(0, 1) AS which
"""

_SERIES = """
INSERT INTO anomalies_series (kind, entity, action, metric, first_time, last_time, judged_until)
SELECT kind, entity, action, metric, %(first)s::timestamptz, %(last)s::timestamptz, %(last)s::timestamptz FROM (
    SELECT 'agent' AS kind, 'ag_' || n AS entity, '' AS action FROM generate_series(0, %(agents)s - 1) AS n
    UNION ALL
    SELECT 'agent', 'ag_' || n, (ARRAY['document.read', 'mail.send', 'record.update'])[n %% 3 + 1]
    FROM generate_series(0, %(agents)s - 1) AS n
    UNION ALL
    SELECT 'principal', 'user_' || n, '' FROM generate_series(0, greatest(%(agents)s / 2, 1) - 1) AS n
    UNION ALL
    SELECT 'address', '10.0.' || n / 250 || '.' || n %% 250, '' FROM generate_series(0, (%(agents)s - 1) / 10) AS n
    UNION ALL SELECT 'tenant', 'all', ''
) AS entities, (VALUES ('requests'), ('failures')) AS metrics (metric)
"""

# Noise around the usual, from a hundred patterns: random numbers for each bucket would take minutes.
_BLOCKS = """
CREATE TEMPORARY TABLE pattern ON COMMIT DROP AS
SELECT kind, metric, number, array_agg(greatest(0, round(
    level + sqrt(level) * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())))::integer) AS counts
FROM (SELECT kind, metric, %(usual)s * share * %(width)s / 3600.0 * times AS level
      FROM (VALUES ('agent', 1), ('principal', 2), ('address', 10), ('tenant', %(agents)s)) AS kinds (kind, times),
           (VALUES ('requests', 1), ('failures', 1 / 33.0)) AS metrics (metric, share)) AS levels,
     generate_series(0, 99) AS number, generate_series(1, %(slots)s)
GROUP BY kind, metric, number;
ANALYZE pattern;
INSERT INTO anomalies_bucketblock (series_id, resolution_seconds, start, counts)
SELECT id, %(width)s, start, counts
FROM anomalies_series CROSS JOIN generate_series(
    %(first)s::timestamptz, %(last)s::timestamptz - interval '1 second', make_interval(secs => %(block)s)
) WITH ORDINALITY AS at (start, day)
JOIN pattern USING (kind, metric)
WHERE number = (id * 31 + day) %% 100
ORDER BY id, start;
DROP TABLE pattern
"""

# What differs from one anomaly to the next; all else is as in the first. `h` is a number that looks like chance.
_WORDS = {
    "type": ("rate_spike", "high_failure_rate", "new_principal", "off_hours_activity", "bulk_access", "rate_drop"),
    "integration": ("drive", "mail", "crm", "github", "okta", "aws", "slack", "jira", "vault", "billing-gateway"),
    "resource_type": ("document", "mailbox", "bucket", "repository", "database", "secret"),
}
_RARE = "n %% 20000 = 77"  # fifty of a million
_ANOMALIES = {
    "public_id": "'anom_' || lpad(n::text, 10, '0')",
    "fingerprint": "'bench-' || n",
    "type": f"(ARRAY{list(_WORDS['type'])})[h %% 6 + 1]",
    "severity": "(ARRAY[1, 1, 1, 1, 2, 2, 3])[h / 7 %% 7 + 1]",
    "score": "h %% 1000 / 1000.0",
    "resolution_seconds": "(ARRAY[60, 300, 300, 3600])[h / 13 %% 4 + 1]",
    "description": f"CASE WHEN {_RARE} THEN 'Somebody exported the quarterly payroll' "
    "ELSE h %% 900 || ' requests in 5 minutes, 38 expected' END",
    "entity": "'ag_' || h / 11 %% 1000",
    "agent_id": "'ag_' || h / 11 %% 1000",
    "principal_id": "CASE h %% 3 WHEN 0 THEN NULL ELSE 'user_' || h / 17 %% 500 END",
    "ip": "CASE h %% 4 WHEN 0 THEN ('10.0.' || h / 250 %% 40 || '.' || h %% 250)::inet END",
    "integration": f"CASE WHEN {_RARE} THEN 'fax' ELSE (ARRAY{list(_WORDS['integration'])})[h / 5 %% 10 + 1] END",
    "resource": "'projects/' || h / 3 %% 500",
    "resource_type": f"CASE WHEN {_RARE} THEN 'fax line'"
    f" ELSE (ARRAY{list(_WORDS['resource_type'])})[h / 2 %% 6 + 1] END",
    "status": "(ARRAY['open', 'resolved', 'resolved', 'acknowledged'])[least(k, 3) + 1]",
    "verdict": "CASE WHEN k IN (1, 2)"
    " THEN (ARRAY['benign', 'false_positive', 'true_positive'])[h %% 3 + 1] ELSE '' END",
    "acknowledged_at": "CASE k WHEN 0 THEN NULL ELSE at END",
    "acknowledged_by": "CASE k WHEN 0 THEN '' ELSE 'ana' END",
    "resolved_at": "CASE WHEN k IN (1, 2) THEN at END",
    "resolved_by": "CASE WHEN k IN (1, 2) THEN 'ana' ELSE '' END",
    **dict.fromkeys(("started_at", "detected_at", "updated_at", "created_at"), "at"),
    **dict.fromkeys(("active_until", "ended_at"), "at + interval '5 minutes'"),
}
# Those that no constraint stands on.
_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('anomalies_anomaly'::regclass, 'anomalies_searchdocument'::regclass)
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
_DEVIATIONS = """
UPDATE anomalies_anomaly SET state = 'open', ended_at = NULL WHERE id % 100 = 0;
INSERT INTO anomalies_metric (anomaly_id, name, what, kind, entity, action, type, severity, score, evidence)
SELECT id, 'what=requests.agent=' || entity, 'requests', 'agent', entity, '', type, severity, score,
       '{"observed": 412, "resolution_seconds": 300}'
FROM anomalies_anomaly;
INSERT INTO anomalies_interval
    (metric_id, resolution_seconds, started_at, ended_at, state, peak, expected, lower, upper, sum_deltas, up,
     deviation, score, main)
SELECT m.id, a.resolution_seconds, a.started_at, a.active_until, a.state, 62 + a.id % 2000, 38, 21, 61, 351, true,
       'transient', a.score, true
FROM anomalies_metric m JOIN anomalies_anomaly a ON a.id = m.anomaly_id;
INSERT INTO anomalies_breach (anomaly_id, above, above_percent)
SELECT m.anomaly_id, i.delta, i.delta_percent FROM anomalies_interval i JOIN anomalies_metric m ON m.id = i.metric_id
"""
# As large as detection makes it.
_EVIDENCE = {
    "why": "412 requests of ag_17 in 5 minutes from 14:05, where 38 are expected and up to 61 are usual. " * 3,
    "unit": "requests", "observed": 412, "expected": 38.25, "lower": 21.0, "upper": 61.0, "p": 1.2e-31,
    "event_count": 412, "resolution_seconds": 300, "version": 1, "events_hash": "8c1f0e5b2d7a9c34",
    "parameters": {"min_excess": 3.0, "alpha": 0.0001, "window": 300, "min_history_days": 7},
    "counts": [38 + n % 17 for n in range(96)],
}  # fmt: skip


def actors(agents: int, *, days: int) -> None:
    """Make agents, half as many users, and who acts for whom."""
    with connection.cursor() as cursor:
        cursor.execute(_ACTORS, {"agents": agents, "first": TODAY - timedelta(days=days), "last": TODAY})


@transaction.atomic
def history(agents: int, *, days: int, widths: Collection[int] = tuple(BLOCK_SECONDS)) -> None:
    """Make the series of agents and their blocks of days that end today, all counted and judged."""
    actors(agents, days=days)
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, {"agents": agents, "first": TODAY - timedelta(days=days), "last": TODAY})
        for width in widths:
            block = BLOCK_SECONDS[width]
            known = {"agents": agents, "usual": USUAL_AN_HOUR, "width": width, "block": block, "last": TODAY}
            first = TODAY - timedelta(days=min(days, _FINE_DAYS.get(width, days)))
            cursor.execute(_BLOCKS, {**known, "slots": block // width, "first": first})
        cursor.execute("ANALYZE")


def events(count: int, *, agents: int, start: datetime, span: timedelta, a_batch: int = EVENTS_A_BATCH) -> list[int]:
    """Make events that are evenly spread over a stretch of time, and return the ids of their uncounted batches."""
    source = Source.objects.get_or_create(name="benchmark", defaults={"format": "native"})[0]
    made = Batch.objects.bulk_create(
        Batch(
            source=source,
            accepted=min(a_batch, count - done),
            first_time=start + span * done / count,
            last_time=start + span * min(done + a_batch, count) / count,
        )
        for done in range(0, count, a_batch)
    )
    ids = [batch.pk for batch in made]
    assert ids == list(range(ids[0], ids[0] + len(ids)))  # nobody else stores meanwhile
    with connection.cursor() as cursor:
        days = {(start + timedelta(days=n)).date() for n in range(span.days + 2)}
        partitions.prepare(cursor, days, today=TODAY.date())
        known = {"source": source.pk, "batch": ids[0], "a_batch": a_batch, "count": count}
        cursor.execute(_EVENTS, {**known, "start": start, "span": span, "agents": agents})
    return ids


def anomalies(count: int) -> None:
    """Make anomalies of 1,000 agents, one each 40 seconds, a tenth of them open."""
    scan = Scan.objects.create(trigger=Scan.Trigger.COMMAND, now=TODAY, started_at=TODAY, finished_at=TODAY)
    first = Anomaly.objects.create(
        fingerprint="bench", severity=1, score=0.5, kind="agent", started_at=TODAY, active_until=TODAY,
        detected_at=TODAY, updated_at=TODAY, resource_type="document", state="closed", ended_at=TODAY,
        evidence=_EVIDENCE, resolution_seconds=300, scan=scan,
    )  # fmt: skip
    columns = [field.column for field in Anomaly._meta.concrete_fields if not (field.primary_key or field.generated)]
    with _without_indexes(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO anomalies_anomaly ({', '.join(columns)})"
            f" SELECT {', '.join(_ANOMALIES.get(column, f'first.{column}') for column in columns)}"
            " FROM anomalies_anomaly first, LATERAL (SELECT n, n * 7919::bigint %% 1000003 AS h, n * 31 %% 10 AS k,"
            " %(last)s::timestamptz - n * interval '40 seconds' AS at"
            " FROM generate_series(1, %(count)s) AS n) AS numbered WHERE first.id = %(first)s",
            {"count": count, "last": TODAY, "first": first.pk},
        )
    first.delete()
    _maintain()


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Build the indexes of anomalies once all rows are there, and check no key of theirs: that takes most of the time.

    Takes a superuser.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what is still to be checked stands in the way
        cursor.execute(_INDEXES)
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute("ALTER TABLE anomalies_anomaly ENABLE ALWAYS TRIGGER keep_words")
        cursor.execute("SET session_replication_role = replica")
        yield
        cursor.execute("RESET session_replication_role; ALTER TABLE anomalies_anomaly ENABLE TRIGGER keep_words")
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def deviations() -> None:
    """Give each anomaly of a benchmark a metric with one interval, and let one in a hundred be open."""
    with connection.cursor() as cursor:
        cursor.execute(_DEVIATIONS)
    _maintain()


def _maintain() -> None:
    """Do what PostgreSQL does by itself soon: what is counted by an index alone has to be known as seen by all."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if not connection.in_atomic_block:
            cursor.execute("VACUUM anomalies_anomaly, anomalies_searchdocument")


def empty(tables: Collection[str] = ALL) -> None:
    """Take away all rows of these tables, and all that name them; by default all that a benchmark makes."""
    with connection.cursor() as cursor:
        # What is still to be checked at the end of a transaction stands in the way.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE {', '.join(tables)} CASCADE")

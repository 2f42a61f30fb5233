"""The formats that can be read. A new one is a file of its own and a line here."""

from dataclasses import dataclass

from anomalies.ingest import apono, cloudtrail, csv, grantex, native, ocsf, office365, sshd
from anomalies.ingest.record import Reader

JSON = (".json", ".json.gz")
JSON_LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of records: how it is called, how it is read, and which files of a folder are such."""

    name: str
    label: str
    read: Reader
    suffixes: tuple[str, ...]


FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("native", "native events", native.read, (*JSON, *JSON_LINES)),
        Format("csv", "CSV with a header row", csv.read, (".csv", ".csv.gz", ".tsv", ".tsv.gz")),
        Format("sshd", "OpenSSH in syslog", sshd.read, (".log", ".log.gz")),
        Format("cloudtrail", "AWS CloudTrail", cloudtrail.read, JSON),
        Format("grantex", "Grantex audit entries", grantex.read, (*JSON, *JSON_LINES)),
        Format("apono", "Apono request events", apono.read, (*JSON, *JSON_LINES)),
        Format("office365", "Microsoft 365 audit records", office365.read, (*JSON, *JSON_LINES)),
        Format("ocsf", "OCSF identity and access events", ocsf.read, (*JSON, *JSON_LINES)),
    )
}

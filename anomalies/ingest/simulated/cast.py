"""Who is in the simulated organisation: agents with their habits, users, places and systems."""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

MOST_AGENTS = 10_000
MOST_PRINCIPALS = 1600  # that still have names of their own


class Rhythm(StrEnum):
    OFFICE = "office"
    CLOCK = "round the clock"
    NIGHTLY = "nightly"


@dataclass(frozen=True, slots=True)
class Place:
    zone: str
    city: str
    country: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class System:
    resource_type: str
    resources: tuple[str, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    ip: str
    place: Place | None  # None: private, nobody knows where


@dataclass(frozen=True, slots=True)
class Agent:
    number: int
    id: str
    name: str
    description: str
    integration: str
    rhythm: Rhythm
    place: Place
    profile: NDArray[np.float64]  # (2, 24) events per hour of the local day, of work days and of free ones
    denied_share: float
    principals: tuple[int, ...]  # numbers of the users that it knows for long
    weights: NDArray[np.float64]  # (principals,) cumulated
    settled: bool  # acts for one or two users only
    social: bool  # meets a colleague now and then
    addresses: tuple[Address, ...]  # the first is its usual one
    user_agent: str


OFFICES = (
    Place("Europe/Madrid", "Madrid", "ES", 40.4168, -3.7038),
    Place("America/New_York", "New York", "US", 40.7128, -74.006),
    Place("Europe/Berlin", "Berlin", "DE", 52.52, 13.405),
    Place("America/Los_Angeles", "San Francisco", "US", 37.7749, -122.4194),
    Place("Europe/London", "London", "GB", 51.5074, -0.1278),
    Place("Asia/Tokyo", "Tokyo", "JP", 35.6762, 139.6503),
    Place("America/Sao_Paulo", "Sao Paulo", "BR", -23.5505, -46.6333),
)
ELSEWHERE = (  # from where nobody works
    Place("Europe/Bucharest", "Bucharest", "RO", 44.4268, 26.1025),
    Place("Asia/Ho_Chi_Minh", "Hanoi", "VN", 21.0278, 105.8342),
    Place("Africa/Lagos", "Lagos", "NG", 6.5244, 3.3792),
    Place("Asia/Almaty", "Almaty", "KZ", 43.222, 76.8512),
)

SYSTEMS = {
    "okta": System("application", ("okta-portal", "vpn", "mail"), ("user.login", "token.refresh", "mfa.verify")),
    "aws": System(
        "bucket",
        ("prod-exports", "prod-logs", "billing-archive", "ml-training"),
        ("object.read", "object.write", "bucket.list", "role.assume"),
    ),
    "github": System(
        "repository", ("platform", "website", "infrastructure"), ("code.read", "pull_request.create", "workflow.run")
    ),
    "postgres-prod": System("database", ("orders", "customers", "ledger"), ("row.read", "row.write", "schema.read")),
    "salesforce": System(
        "object", ("Account", "Contact", "Opportunity"), ("record.read", "record.update", "report.run")
    ),
    "slack": System("channel", ("#sales", "#incidents", "#finance"), ("message.send", "channel.read")),
    "google-drive": System("folder", ("Finance", "People", "Roadmap"), ("file.read", "file.share", "file.create")),
    "stripe": System("account", ("payments", "subscriptions"), ("invoice.read", "invoice.create", "refund.create")),
    "kubernetes": System("namespace", ("shop", "search", "jobs"), ("pod.read", "deployment.update", "secret.read")),
    "snowflake": System("warehouse", ("ANALYTICS", "FINANCE"), ("query.run", "table.read")),
    "jira": System("project", ("OPS", "WEB", "DATA"), ("issue.read", "issue.update")),
    "vault": System("secret", ("db/orders", "api/stripe", "ssh/deploy"), ("secret.read", "lease.renew")),
}

# Name, what it does, rhythm, system, users: s(ettled) acts for one or two, f(ew), m(any), a(ll).
_ROLES = (
    ("sso", "Signs people in to all applications", Rhythm.CLOCK, "okta", "a"),
    ("billing", "Writes and sends invoices", Rhythm.OFFICE, "stripe", "f"),
    ("deploy", "Rolls releases out to production", Rhythm.CLOCK, "kubernetes", "s"),
    ("crm_sync", "Keeps customer records in step", Rhythm.OFFICE, "salesforce", "m"),
    ("backup", "Copies databases away each night", Rhythm.NIGHTLY, "aws", "s"),
    ("code_review", "Reads pull requests and comments on them", Rhythm.OFFICE, "github", "f"),
    ("monitoring", "Watches services and restarts them", Rhythm.CLOCK, "kubernetes", "s"),
    ("helpdesk", "Answers tickets of colleagues", Rhythm.OFFICE, "jira", "m"),
    ("reporting", "Runs the reports of finance", Rhythm.NIGHTLY, "snowflake", "f"),
    ("payments", "Books incoming payments", Rhythm.CLOCK, "stripe", "s"),
    ("recruiting", "Schedules interviews and files papers", Rhythm.OFFICE, "google-drive", "m"),
    ("search_index", "Feeds the search index", Rhythm.CLOCK, "postgres-prod", "s"),
    ("expenses", "Checks and books expenses", Rhythm.OFFICE, "google-drive", "f"),
    ("secrets_rotation", "Renews leases and rotates secrets", Rhythm.CLOCK, "vault", "s"),
    ("lead_scoring", "Scores new leads", Rhythm.OFFICE, "salesforce", "f"),
    ("etl_orders", "Loads orders into the warehouse", Rhythm.NIGHTLY, "postgres-prod", "s"),
    ("support_chat", "Drafts answers to customers", Rhythm.CLOCK, "slack", "f"),
    ("procurement", "Compares offers and orders", Rhythm.OFFICE, "google-drive", "f"),
    ("release_notes", "Writes what changed", Rhythm.OFFICE, "github", "f"),
    ("fraud_check", "Holds doubtful payments", Rhythm.CLOCK, "stripe", "s"),
    ("meeting_notes", "Writes minutes and tasks", Rhythm.OFFICE, "slack", "m"),
    ("inventory", "Keeps stock figures right", Rhythm.CLOCK, "postgres-prod", "f"),
    ("contracts", "Files and finds contracts", Rhythm.OFFICE, "google-drive", "f"),
    ("log_archive", "Moves old logs away", Rhythm.NIGHTLY, "aws", "s"),
    ("incident_bot", "Opens incidents and calls people", Rhythm.CLOCK, "slack", "f"),
    ("forecasting", "Fits the sales forecast", Rhythm.OFFICE, "snowflake", "f"),
    ("access_reviews", "Collects who has which access", Rhythm.OFFICE, "okta", "m"),
    ("image_builds", "Builds and signs images", Rhythm.CLOCK, "github", "s"),
    ("marketing_mail", "Sends campaigns", Rhythm.OFFICE, "salesforce", "f"),
    ("ml_training", "Trains models when machines are idle", Rhythm.NIGHTLY, "aws", "f"),
)
_ABBREVIATIONS = ("crm", "etl", "ml", "sso")

_FIRST = (  # noqa: SIM905  forty quoted words say no more
    "ana ben carla david elena farid grace hugo ines jonas kira liam mei noah olga pedro quinn rosa sven tara "
    "umar vera wanda xavier yuki zane alma bruno clara dmitri eva felix gina henrik irma jamal katja luca mona nils"
).split()
_LAST = (  # noqa: SIM905  as above
    "lopez fischer rossi okafor novak silva tanaka dubois kowalski haddad jensen moreau costa weber ivanova brown "
    "nguyen keller santos lindqvist martin horvat ricci adeyemi peters castro sato bernard wolf farah berg laurent "
    "pinto schulz petrov clark tran meyer ramos holm"
).split()


def principal_id(number: int) -> str:
    first = _FIRST[number % len(_FIRST)]
    last = _LAST[(7 * number + number // len(_FIRST)) % len(_LAST)]
    return f"user_{first}.{last}"


def principal_name(number: int) -> str:
    return principal_id(number).removeprefix("user_").replace(".", " ").title()


def agent(number: int, *, seed: int, principals: int, zone: str = "") -> Agent:
    """Return the agent of that number: the same one however many others there are; `zone` is instead of its own."""
    rng = np.random.default_rng((seed, 3, number))
    role, description, rhythm, integration, users = _ROLES[number % len(_ROLES)]
    again = number // len(_ROLES)
    role = f"{role}_{again + 1}" if again else role
    place = OFFICES[int(rng.integers(len(OFFICES)))]
    place = replace(place, zone=zone or place.zone)
    least, most = {"s": (1, 2), "f": (3, 7), "m": (8, 12), "a": (principals, principals)}[users]
    known = rng.permutation(principals)[: int(rng.integers(least, most + 1))]
    shares = rng.uniform(0.5, 1.5, size=len(known))
    last = (number // 250, number % 250 + 1)
    return Agent(
        number=number,
        id=f"ag_{role}",
        name=_named(role),
        description=description,
        integration=integration,
        rhythm=rhythm,
        place=place,
        profile=_profile(rhythm, busy=users == "a", rng=rng),
        denied_share=float(rng.beta(2.0, 62.0)),
        principals=tuple(int(user) for user in known),
        weights=np.cumsum(shares / shares.sum()),
        settled=users == "s",
        social=users == "m",
        addresses=(
            Address("10.20.{}.{}".format(*last), None),
            # Who signs others in does so behind the gateway: where the users are, their own logins tell.
            Address("198.18.{}.{}".format(*last), None if integration == "okta" else place),
            Address("10.30.{}.{}".format(*last), None),
        ),
        user_agent=f"{role.replace('_', '-')}/{rng.integers(1, 5)}.{rng.integers(0, 20)}",
    )


def _named(role: str) -> str:
    """`SSO`, `Code review`, `ML training 2`."""
    first, *rest = (word.upper() if word in _ABBREVIATIONS else word for word in role.split("_"))
    return " ".join([first[:1].upper() + first[1:], *rest])


def _profile(rhythm: Rhythm, *, busy: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    profile = np.zeros((2, 24))
    hours = np.arange(24)
    if rhythm == Rhythm.OFFICE:
        profile[0, 9:17] = 1.0
        profile[0, [7, 8, 12, 17, 18]] = (0.15, 0.5, 0.7, 0.4, 0.15)
        return np.asarray(profile * rng.uniform(12.0, 40.0))
    if rhythm == Rhythm.NIGHTLY:
        begin = int(rng.integers(0, 4))
        profile[:, begin], profile[:, begin + 1] = 1.0, 0.3
        return np.asarray(profile * rng.uniform(80.0, 240.0))
    profile[:] = 0.7 + 0.3 * np.cos((hours - 14) / 24 * 2 * np.pi)
    profile[1] *= 0.75
    return np.asarray(profile * (40.0 if busy else rng.uniform(8.0, 20.0)))


@cache
def permission_of(action: str) -> str:
    return action.replace(".", ":")

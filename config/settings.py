"""All settings. Each environment variable is read here, once; `.env.example` explains them."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import environ
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

# What this installation keeps and version control does not: embedded database, secret key, login, logs.
LOCAL_DIR: Path = BASE_DIR / env.str("ANOMALIES_LOCAL_DIR", default=".local")


def _secret_key() -> str:
    """The key of this installation: made at first use and kept out of version control."""
    path = LOCAL_DIR / "secret_key"
    if not path.exists():
        # Root's database is another user's (config/embedded), who must get through, though not see what there is.
        LOCAL_DIR.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        # Linked into place whole: of two processes that start at once, the second finds the first one's key.
        with tempfile.NamedTemporaryFile("w", dir=LOCAL_DIR) as new:
            new.write(secrets.token_urlsafe(50))
            new.flush()
            with contextlib.suppress(FileExistsError):
                os.link(new.name, path)
    return path.read_text()


SECRET_KEY = env.str("ANOMALIES_SECRET_KEY", default="") or _secret_key()
DEBUG = env.bool("ANOMALIES_DEBUG", default=False)
ALLOWED_HOSTS = env.list("ANOMALIES_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
HTTPS = env.bool("ANOMALIES_HTTPS", default=False)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "csp",
    "django_filters",
    "django_htmx",
    "ninja",
    "template_partials",
    "anomalies",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "anomalies.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Unset: PostgreSQL is found, made and started under .local/ when first connected to (config/embedded).
DATABASE_URL = env.str("DATABASE_URL", default="")
POSTGRES_BIN = env.str("ANOMALIES_POSTGRES_BIN", default="")
if DATABASE_URL and not DATABASE_URL.startswith(("postgres://", "postgresql://")):
    raise ImproperlyConfigured("DATABASE_URL: begins with postgres://, no other database serves.")
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.db_url_config(DATABASE_URL) if DATABASE_URL else {"ENGINE": "config.embedded", "NAME": "anomalies"},
}
# Twice as long after each attempt in vain, the pool tries again for up to `reconnect_timeout`: with its own of 5
# minutes a server that was away for two is found two minutes after its return.
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
    "min_size": 1,
    "max_size": 20,
    "timeout": 10,  # seconds that somebody waits for a connection; the next one begins to try anew
    "reconnect_timeout": 5,
}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # the pool outlives a restart of the server
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = ["anomalies.services.accounts.AccountBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "anomaly_list"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "static/"
STATIC_ROOT = LOCAL_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]  # asked from beside, where no proxy is
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # HSTS for subdomains and preload: their owner decides
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
    },
}

# Bodies of POST /v1/events; a larger one is answered 413.
ANOMALIES_MAX_BODY_BYTES = env.int("ANOMALIES_MAX_BODY_BYTES", default=16 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = ANOMALIES_MAX_BODY_BYTES

# Calls a minute that each API key may make, unless it has a number of its own; 0: as many as it likes.
ANOMALIES_REQUESTS_PER_MINUTE = env.int("ANOMALIES_REQUESTS_PER_MINUTE", default=6000)
if ANOMALIES_REQUESTS_PER_MINUTE < 0:
    raise ImproperlyConfigured("ANOMALIES_REQUESTS_PER_MINUTE: a number of calls, or 0 for no limit.")

# Into how many shares a scheduled scan is parted among Celery workers; 1: one worker does all of it.
ANOMALIES_SCAN_SHARES = env.int("ANOMALIES_SCAN_SHARES", default=1)

# Days; 0 keeps all.
ANOMALIES_EVENT_RETENTION_DAYS = env.int("ANOMALIES_EVENT_RETENTION_DAYS", default=400)
ANOMALIES_MINUTE_RETENTION_DAYS = env.int("ANOMALIES_MINUTE_RETENTION_DAYS", default=14)
ANOMALIES_FIVE_MINUTE_RETENTION_DAYS = env.int("ANOMALIES_FIVE_MINUTE_RETENTION_DAYS", default=90)
ANOMALIES_SIGHTING_RETENTION_DAYS = env.int("ANOMALIES_SIGHTING_RETENTION_DAYS", default=400)
ANOMALIES_SCAN_RETENTION_DAYS = env.int("ANOMALIES_SCAN_RETENTION_DAYS", default=30)
if ANOMALIES_EVENT_RETENTION_DAYS < 0:
    raise ImproperlyConfigured("ANOMALIES_EVENT_RETENTION_DAYS: a number of days, or 0 to keep all.")
if ANOMALIES_MINUTE_RETENTION_DAYS and ANOMALIES_MINUTE_RETENTION_DAYS < 5:
    raise ImproperlyConfigured("ANOMALIES_MINUTE_RETENTION_DAYS: at least 5, which detection reads, or 0 to keep all.")
if ANOMALIES_FIVE_MINUTE_RETENTION_DAYS and ANOMALIES_FIVE_MINUTE_RETENTION_DAYS < 11:
    raise ImproperlyConfigured(
        "ANOMALIES_FIVE_MINUTE_RETENTION_DAYS: at least 11, which detection reads, or 0 to keep all."
    )
if ANOMALIES_SIGHTING_RETENTION_DAYS and ANOMALIES_SIGHTING_RETENTION_DAYS < 40:
    raise ImproperlyConfigured(
        "ANOMALIES_SIGHTING_RETENTION_DAYS: at least 40, which detection reads, or 0 to keep all."
    )
if ANOMALIES_SCAN_RETENTION_DAYS < 0:
    raise ImproperlyConfigured("ANOMALIES_SCAN_RETENTION_DAYS: a number of days, or 0 to keep all.")

# With what the secrets of connections are encrypted in the database. Unset: by the key above, and lost with it.
ANOMALIES_ENCRYPTION_KEY = env.str("ANOMALIES_ENCRYPTION_KEY", default="") or SECRET_KEY
# Where webhooks may go beside the Internet: networks and host names inside, or `*`; and without HTTPS at all.
ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = env.list("ANOMALIES_ALLOW_PRIVATE_WEBHOOKS", default=[])
ANOMALIES_ALLOW_HTTP_WEBHOOKS = env.bool("ANOMALIES_ALLOW_HTTP_WEBHOOKS", default=False)
# By service what is called in its place, such as a relay.
ANOMALIES_RELAYS: dict[str, str] = {}
for _relay in env.list("ANOMALIES_RELAYS", default=[]):
    _service, _, _url = _relay.partition("=")
    if _service not in ("pagerduty", "datadog") or not _url.startswith(("https://", "http://")):
        raise ImproperlyConfigured(
            f"ANOMALIES_RELAYS: {_relay!r} is no pagerduty or datadog with an address; "
            "write pagerduty=https://relay.internal/pagerduty."
        )
    ANOMALIES_RELAYS[_service] = _url
# Which server takes e-mail, and from whom it is; none: nobody is told by e-mail.
ANOMALIES_MAIL_SERVER: dict[str, Any] | None = None
if _email := env.str("ANOMALIES_EMAIL_URL", default=""):
    _mail = env.email_url_config(_email)
    _tls, _starttls = bool(_mail.get("EMAIL_USE_SSL")), bool(_mail.get("EMAIL_USE_TLS"))
    if not _mail["EMAIL_HOST"]:
        raise ImproperlyConfigured("ANOMALIES_EMAIL_URL: it names no server; write smtp+tls://user:password@host:587.")
    if _mail["EMAIL_HOST_PASSWORD"] and not (_tls or _starttls or _mail["EMAIL_HOST"] in ("localhost", "127.0.0.1")):
        raise ImproperlyConfigured("ANOMALIES_EMAIL_URL: its password could be read on the way; write smtp+tls://.")
    ANOMALIES_MAIL_SERVER = {
        "host": _mail["EMAIL_HOST"],
        "port": _mail["EMAIL_PORT"] or (465 if _tls else 587 if _starttls else 25),
        "user": _mail["EMAIL_HOST_USER"] or "",
        "password": _mail["EMAIL_HOST_PASSWORD"] or "",
        "starttls": _starttls,
        "tls": _tls,
        "sender": env.str("ANOMALIES_EMAIL_FROM", default="Anomalies <anomalies@localhost>"),
    }
# Under which others reach these pages: the links in what they are told.
ANOMALIES_PUBLIC_URL = env.str("ANOMALIES_PUBLIC_URL", default="http://127.0.0.1:8000")
# Days that deliveries are kept after they came to an end; 0 keeps all.
ANOMALIES_DELIVERY_RETENTION_DAYS = env.int("ANOMALIES_DELIVERY_RETENTION_DAYS", default=90)
if ANOMALIES_DELIVERY_RETENTION_DAYS < 0:
    raise ImproperlyConfigured("ANOMALIES_DELIVERY_RETENTION_DAYS: a number of days, or 0 to keep all.")

# With the simulated month of `up --demo`: events keep coming.
ANOMALIES_DEMO = env.bool("ANOMALIES_DEMO", default=False)

# Celery is only the clock: a message that is lost, doubled or late changes nothing.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://localhost")
if CELERY_BROKER_URL.startswith("filesystem:"):
    BROKER_DIR = LOCAL_DIR / "broker"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": BROKER_DIR / "messages",
        "data_folder_out": BROKER_DIR / "messages",
        "control_folder": BROKER_DIR / "control",
        "polling_interval": 0.1,
    }
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = env.str("ANOMALIES_QUEUE", default="anomalies")
# What waits for others' servers waits apart: a worker of its own for it, and no hanging webhook holds up a scan.
CALLS_QUEUE = f"{CELERY_TASK_DEFAULT_QUEUE}-calls"
CELERY_TASK_QUEUES = [Queue(CELERY_TASK_DEFAULT_QUEUE), Queue(CALLS_QUEUE)]
CELERY_TASK_ROUTES = {
    "anomalies.tasks.call_revocations": {"queue": CALLS_QUEUE},
    "anomalies.tasks.deliver": {"queue": CALLS_QUEUE},
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# Expiring before the next one is due, ticks do not pile up while no worker runs.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "scan": {"task": "anomalies.tasks.scan", "schedule": 60.0, "options": {"expires": 55}},
    "apply-retention": {
        "task": "anomalies.tasks.apply_retention",
        "schedule": crontab(hour=3, minute=40),
        "options": {"expires": 3600},
    },
    "backtest": {"task": "anomalies.tasks.backtest", "schedule": 5.0, "options": {"expires": 4}},
    "call-revocations": {"task": "anomalies.tasks.call_revocations", "schedule": 3.0, "options": {"expires": 2}},
    "announce": {"task": "anomalies.tasks.announce", "schedule": 3.0, "options": {"expires": 2}},
    "deliver": {"task": "anomalies.tasks.deliver", "schedule": 3.0, "options": {"expires": 2}},
    "wake": {"task": "anomalies.tasks.wake", "schedule": 60.0, "options": {"expires": 55}},
    "expire-grants": {"task": "anomalies.tasks.expire_grants", "schedule": 60.0, "options": {"expires": 55}},
}
if ANOMALIES_DEMO:
    CELERY_BEAT_SCHEDULE["trickle"] = {
        "task": "anomalies.tasks.trickle",
        "schedule": 10.0,
        "options": {"expires": 9},
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"anomalies": {"level": "INFO"}},
}

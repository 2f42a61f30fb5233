"""Entry point of the web server."""

import os
import warnings

from django.conf import settings
from django.core.asgi import get_asgi_application

from config.body_limit import BodyLimit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# WhiteNoise's files are small, and read in a thread: Django's advice to read them asynchronously gains nothing.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = BodyLimit(get_asgi_application(), most=settings.ANOMALIES_MAX_BODY_BYTES)

"""A place of its own for all that benchmarks write, gone when they end."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def prepare() -> None:
    """Set Django up with a folder of its own, before anything of the project is imported.

    What it keeps, an embedded server among it, lies there; with DATABASE_URL, the server is that.
    """
    folder = Path(tempfile.mkdtemp(prefix="anomalies-benchmarks-"))
    folder.chmod(0o711)  # the embedded server of root is another user's
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after the server has stopped: it registers later
    os.environ["ANOMALIES_LOCAL_DIR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()


@contextmanager
def database() -> Iterator[None]:
    """Make a database on the server, and drop it."""
    from django.core.management import call_command
    from django.db import connection

    call_command("collectstatic", verbosity=0, interactive=False)
    before = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"anomalies_benchmarks_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)

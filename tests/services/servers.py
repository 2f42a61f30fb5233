"""What other processes and connections of a test need."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from django.db import connection


def database_url() -> str:
    """The test's database, for another process."""
    wanted = connection.get_connection_params()
    server = urlencode({"host": wanted["host"], "port": wanted.get("port") or 5432})
    return f"postgres://{quote(wanted['user'])}@/{wanted['dbname']}?{server}"


@contextmanager
def lock_held(key: int) -> Iterator[None]:
    """Let another connection hold an advisory lock."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [key])
            locked.set()
            done.wait(60)
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
        connection.close()

    with ThreadPoolExecutor() as other:
        held = other.submit(hold)
        locked.wait(60)
        try:
            yield
        finally:
            done.set()
            held.result()

"""Django's PostgreSQL backend on the cluster of this checkout, which is started when first connected to."""

import atexit
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.postgresql import base, client
from django.db.utils import OperationalError
from psycopg_pool import ConnectionPool

from config.embedded.cluster import NAME, PORT, Cluster, ClusterError, application_name, state_folders

_cluster = Cluster(settings.LOCAL_DIR, elsewhere=state_folders(settings.LOCAL_DIR), postgres_bin=settings.POSTGRES_BIN)


@atexit.register
def _leave() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close()
    for pool in DatabaseWrapper._connection_pools.values():
        pool.close()
    _cluster.leave()


class DatabaseClient(client.DatabaseClient):
    def runshell(self, parameters: Iterable[str]) -> None:
        self.connection.get_connection_params()  # starts the cluster and names its socket
        super().runshell(parameters)


class DatabaseWrapper(base.DatabaseWrapper):
    _connection_pools: dict[str, ConnectionPool] = {}  # apart from those of Django's own backend
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        """As Django's, with the cluster running. Raises OperationalError, one sentence."""
        try:
            _cluster.ensure()
        except ClusterError as error:
            raise OperationalError(str(error)) from error
        self.settings_dict.update(HOST=str(_cluster.socket_folder), PORT=str(PORT), USER=NAME)
        return {**super().get_connection_params(), "application_name": application_name()}

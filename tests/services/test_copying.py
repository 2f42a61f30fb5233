import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from anomalies.services.copying import copying


@pytest.mark.django_db
def test_what_ends_a_copy_is_an_error_of_django() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 20")
    slow = copying("COPY (SELECT pg_sleep(%s)) TO STDOUT", [10])
    with pytest.raises(OperationalError), transaction.atomic(), slow as copy:
        list(copy.rows())
    with (
        pytest.raises(IntegrityError),
        transaction.atomic(),
        copying("COPY anomalies_source (name) FROM STDIN") as copy,
    ):
        copy.write("a name and no more\n")

"""The words by which an anomaly is found."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from anomalies.models.anomaly import Anomaly

# Each piece between spaces is a word, and so are its pieces: `db/ag_billing-7` gives itself, db, ag_billing-7, ag,
# billing and 7. Signs are named one by one: what else is a letter depends on the server's locale.
OUTER_SIGNS = "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\n\t\r"
INNER_SIGNS = "_.-"


class SearchDocument(models.Model):
    """The words of an anomaly, which a trigger of its table keeps (migration 0042).

    Not among its columns: each decision would write all of them into their index again. `UPDATE anomalies_anomaly SET
    title = title` makes documents that are missing, such as after anomalies alone were restored without triggers.
    """

    anomaly = models.OneToOneField(Anomaly, models.CASCADE, primary_key=True, related_name="document", editable=False)
    words = SearchVectorField(
        editable=False, help_text="Of what it is called and described as, its id, type, actors, address and resource"
    )

    class Meta:
        indexes = [GinIndex(fields=["words"], name="search_document_words")]

    def __str__(self) -> str:
        return f"{self.anomaly_id}"

"""The words by which an anomaly is found."""

from django.db import models
from django.db.models import Value
from django.db.models.functions import Coalesce, Left

# Characters of a longer text: no word may have more than 2,046 bytes.
MOST_CHARACTERS = 500

# Each piece between spaces is a word, and so are its pieces: `db/ag_billing-7` gives itself, db, ag_billing-7, ag,
# billing and 7. Signs are named one by one: what else is a letter depends on the server's locale.
OUTER_SIGNS = "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~\n\t\r"
INNER_SIGNS = "_.-"

WORDS = models.Func(
    Left("description", MOST_CHARACTERS),
    "title",
    "public_id",
    Coalesce("agent_id", Value("")),
    Coalesce("principal_id", Value("")),
    "entity",
    Left("resource", MOST_CHARACTERS),
    "integration",
    "type",
    function="anomaly_words",
    arg_joiner=" || ' ' || ",
)

"""One sentence about what was just done, with a way back."""

import json
from dataclasses import astuple, dataclass

from django.contrib import messages
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Toast:
    """`level` is success, warning or error; with `entry`, Undo takes that review entry of the anomaly back.

    With `bulk` it leads to what became of each anomaly of that bulk review, and with `undoes_bulk` Undo takes it back.
    """

    level: str
    text: str
    public_id: str = ""
    entry: str = ""
    bulk: str = ""
    undoes_bulk: bool = False


_LEVELS = {"success": messages.SUCCESS, "warning": messages.WARNING, "error": messages.ERROR}


def keep(request: HttpRequest, toast: Toast) -> None:
    """Show it on the next page, for those who come there by a redirect."""
    messages.add_message(request, _LEVELS[toast.level], toast.text, extra_tags=json.dumps(astuple(toast)))


def kept(request: HttpRequest) -> list[Toast]:
    """Return and forget what was kept for this page."""
    return [Toast(*json.loads(message.extra_tags or "[]")) for message in messages.get_messages(request)]

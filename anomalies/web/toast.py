"""One sentence about what was just done, with a way back."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Toast:
    """`level` is success, warning or error; with `entry`, Undo takes that review entry of the anomaly back."""

    level: str
    text: str
    public_id: str = ""
    entry: str = ""


_LEVELS = {"success": messages.SUCCESS, "warning": messages.WARNING, "error": messages.ERROR}


def keep(request: HttpRequest, toast: Toast) -> None:
    """Show it on the next page, for those who come there by a redirect."""
    messages.add_message(request, _LEVELS[toast.level], toast.text, extra_tags=f"{toast.public_id} {toast.entry}")


def kept(request: HttpRequest) -> list[Toast]:
    """Return and forget what was kept for this page."""
    toasts = []
    for message in messages.get_messages(request):
        public_id, _, entry = (message.extra_tags or "").partition(" ")
        toasts.append(Toast(message.level_tag, str(message), public_id, entry))
    return toasts

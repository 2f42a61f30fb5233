"""Who makes a change: every service that changes something takes one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Actor:
    """A person in a browser (with `user`), or a machine with a key (without)."""

    name: str
    user: "User | None" = None

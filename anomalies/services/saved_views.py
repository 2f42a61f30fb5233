"""Views of the list under a name: who keeps one, for whom, and who may change it."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, prefetch_related_objects

from anomalies.models import SavedView
from anomalies.services import changes
from anomalies.services.actor import Actor

if TYPE_CHECKING:
    from django.contrib.auth.models import User

NAME_LENGTH = 60
QUERY_LENGTH = 8000  # what servers take as an address
SHARE = "anomalies.review_anomaly"
CHANGE_ANY = "anomalies.change_savedview"  # of those that are shared


class SavedViewError(Exception):
    """Why a view is not kept, in a sentence that names the field."""


class NameTakenError(SavedViewError):
    def __init__(self, name: str) -> None:
        super().__init__(f"Name: you have a view “{name}” already. Choose another name, or save that one anew.")


class NotYoursError(SavedViewError):
    def __init__(self, view: SavedView) -> None:
        super().__init__(f"“{view.name}” is {view.owner.get_username()}'s: only they or an administrator change it.")


def seen_by(user: "User") -> QuerySet[SavedView]:
    """Their own and those that others share, by name; each with its owner."""
    return SavedView.objects.seen_by(user).select_related("owner").order_by("name", "id")


def listed_for(user: "User") -> list[SavedView]:
    """The same, as each page of the list shows them: who owns the others' is asked only where there are some."""
    views = list(SavedView.objects.seen_by(user).order_by("name", "id"))
    prefetch_related_objects([view for view in views if view.owner_id != user.pk], "owner")
    return views


def may_change(view: SavedView, user: "User") -> bool:
    """Whether that user may: the owner, and of a shared one an administrator."""
    return view.owner_id == user.pk or (view.shared and user.has_perm(CHANGE_ANY))


@transaction.atomic
def save(*, name: str, query: str, shared: bool, by: Actor, at: datetime) -> SavedView:
    """Keep filters and order under a name and return the view. Raises SavedViewError."""
    user = _person(by)
    _check_sharing(user, shared=shared)
    view = SavedView(name=_checked(name, user), query=_query(query), shared=shared, owner=user)
    _store(view)
    _record(view, "saved", by=by, at=at, before={}, after={"name": view.name, "query": query, "shared": shared})
    return view


@transaction.atomic
def change(
    view: SavedView,
    *,
    name: str | None = None,
    query: str | None = None,
    shared: bool | None = None,
    by: Actor,
    at: datetime,
) -> None:
    """Rename it, keep other filters, share it or stop that; what is None stays. Raises SavedViewError."""
    user, view = _person(by), _locked(view, by)
    before = {"name": view.name, "query": view.query, "shared": view.shared}
    if name is not None and name.strip() != view.name:
        view.name = _checked(name, view.owner)
    if query is not None:
        view.query = _query(query)
    if shared is not None and shared != view.shared:
        _check_sharing(user, shared=shared)
        view.shared = shared
    _store(view)
    after = {"name": view.name, "query": view.query, "shared": view.shared}
    if after != before:
        _record(view, "changed", by=by, at=at, before=before, after=after)


@transaction.atomic
def delete(view: SavedView, *, by: Actor, at: datetime) -> None:
    """Forget it; what it shows stays. Raises NotYoursError."""
    view = _locked(view, by)
    _record(view, "deleted", by=by, at=at, before={"query": view.query, "shared": view.shared}, after={})
    view.delete()


def _store(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError:  # another one of that name came in between
        raise NameTakenError(view.name) from None


def _record(
    view: SavedView, action: str, *, by: Actor, at: datetime, before: dict[str, object], after: dict[str, object]
) -> None:
    done = changes.between(before, after) if after else {name: [value, None] for name, value in before.items()}
    changes.record("saved_view", view.public_id, action, by=by, at=at, name=view.name, changes=done)


def _locked(view: SavedView, by: Actor) -> SavedView:
    known = SavedView.objects.select_for_update(of=("self",)).select_related("owner").filter(pk=view.pk).first()
    if known is None:
        raise SavedViewError(f"“{view.name}” is not there any more.")
    if not may_change(known, _person(by)):
        raise NotYoursError(known)
    return known


def _person(by: Actor) -> "User":
    if by.user is None:
        raise SavedViewError(f"{by.name} is no person: views are kept by people.")
    return by.user


def _check_sharing(user: "User", *, shared: bool) -> None:
    if shared and not user.has_perm(SHARE):
        raise SavedViewError("Shared: sharing a view takes the role reviewer; it can be kept for you alone.")


def _query(query: str) -> str:
    if len(query) > QUERY_LENGTH:
        raise SavedViewError(f"Filters: {len(query):,} characters; a view keeps at most {QUERY_LENGTH:,}.")
    return query


def _checked(name: str, owner: "User") -> str:
    name = " ".join(name.split())
    if not name:
        raise SavedViewError("Name: it is empty.")
    if "\x00" in name:
        raise SavedViewError("Name: it holds a character that is none.")
    if len(name) > NAME_LENGTH:
        raise SavedViewError(f"Name: it has {len(name)} characters; at most {NAME_LENGTH} fit.")
    if SavedView.objects.filter(owner=owner, name=name).exists():
        raise NameTakenError(name)
    return name

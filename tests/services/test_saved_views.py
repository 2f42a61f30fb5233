"""services/saved_views: who keeps a view, for whom, and who changes it; each change is recorded."""

import pytest
from django.contrib.auth.models import Permission, User

from anomalies.models import Change, SavedView
from anomalies.services import saved_views
from anomalies.services.actor import Actor
from anomalies.services.saved_views import NameTakenError, NotYoursError, SavedViewError
from tests import make

pytestmark = pytest.mark.django_db


def by(user: User) -> Actor:
    return Actor(name=user.username, user=user)


def saved(user: User, name: str = "Spikes", query: str = "type=rate_spike", *, shared: bool = False) -> SavedView:
    return saved_views.save(name=name, query=query, shared=shared, by=by(user), at=make.NOW)


def seen(user: User) -> list[str]:
    return [view.name for view in saved_views.seen_by(user)]


def test_ones_own_views_are_seen_by_nobody_else_and_shared_ones_by_all(ana: User, vic: User) -> None:
    saved(ana, "Mine")
    saved(ana, "Ours", shared=True)
    saved(vic, "His")
    assert seen(ana) == ["Mine", "Ours"]
    assert seen(vic) == ["His", "Ours"]


def test_a_viewer_keeps_views_and_shares_none(vic: User) -> None:
    view = saved(vic)
    with pytest.raises(SavedViewError, match="sharing a view takes the role reviewer"):
        saved(vic, "Other", shared=True)
    with pytest.raises(SavedViewError, match="sharing a view takes the role reviewer"):
        saved_views.change(view, shared=True, by=by(vic), at=make.NOW)
    assert list(SavedView.objects.values_list("name", "shared")) == [("Spikes", False)]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("  ", "Name: it is empty."),
        ("x" * 61, "Name: it has 61 characters; at most 60 fit."),
        ("a\x00b", "Name: it holds a character that is none."),
        (" Spikes ", "Name: you have a view “Spikes” already."),
    ],
)
def test_a_name_that_does_not_do_is_named(ana: User, name: str, error: str) -> None:
    saved(ana)
    other = saved(ana, "Other")
    with pytest.raises(SavedViewError, match=error.replace("(", "\\(")):
        saved(ana, name)
    with pytest.raises(SavedViewError, match=error):
        saved_views.change(other, name=name, by=by(ana), at=make.NOW)
    assert seen(ana) == ["Other", "Spikes"]


def test_of_two_who_save_the_same_name_at_once_the_second_is_told(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(ana)
    monkeypatch.setattr(saved_views, "_checked", lambda name, _owner: name)
    with pytest.raises(NameTakenError):
        saved(ana)


def test_others_may_have_the_same_name(ana: User, vic: User) -> None:
    saved(ana, shared=True)
    saved(vic)
    assert seen(vic) == ["Spikes", "Spikes"]


def test_a_shared_view_is_changed_by_its_owner_or_an_administrator_alone(ana: User, vic: User) -> None:
    view = saved(ana, shared=True)
    with pytest.raises(NotYoursError, match="“Spikes” is ana's"):
        saved_views.change(view, name="Mine now", by=by(vic), at=make.NOW)
    with pytest.raises(NotYoursError):
        saved_views.delete(view, by=by(vic), at=make.NOW)
    vic.user_permissions.add(Permission.objects.get(codename="change_savedview"))
    boss = User.objects.get(pk=vic.pk)
    saved_views.change(view, name="Rate spikes", by=by(boss), at=make.NOW)
    own = saved(ana, "Own")
    with pytest.raises(NotYoursError):
        saved_views.delete(own, by=by(boss), at=make.NOW)
    saved_views.delete(view, by=by(boss), at=make.NOW)
    assert seen(ana) == ["Own"]


def test_each_change_is_recorded(ana: User) -> None:
    view = saved(ana)
    saved_views.change(view, name="Bursts", shared=True, by=by(ana), at=make.NOW)
    saved_views.change(view, name="Bursts", by=by(ana), at=make.NOW)
    saved_views.delete(view, by=by(ana), at=make.NOW)
    assert list(Change.objects.order_by("id").values_list("action", "actor", "subject_name", "changes")) == [
        (
            "saved", "ana", "Spikes",
            {"name": [None, "Spikes"], "query": [None, "type=rate_spike"], "shared": [None, False]},
        ),
        ("changed", "ana", "Bursts", {"name": ["Spikes", "Bursts"], "shared": [False, True]}),
        ("deleted", "ana", "Bursts", {"query": ["type=rate_spike", None], "shared": [True, None]}),
    ]  # fmt: skip


def test_what_is_gone_is_said_to_be(ana: User) -> None:
    view = saved(ana)
    SavedView.objects.all().delete()
    with pytest.raises(SavedViewError, match="“Spikes” is not there any more"):
        saved_views.change(view, name="x", by=by(ana), at=make.NOW)

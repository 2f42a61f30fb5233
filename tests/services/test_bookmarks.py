"""services/bookmarks: what one reviewer marks for themselves."""

import pytest
from django.contrib.auth.models import User

from anomalies.models import Bookmark
from anomalies.services import bookmarks
from tests import make

pytestmark = pytest.mark.django_db


def test_each_has_their_own_and_marking_twice_is_marking_once(ana: User, vic: User) -> None:
    anomaly = make.anomaly()
    first = bookmarks.add(anomaly, user=ana, at=make.NOW)
    assert bookmarks.add(anomaly, user=ana, at=make.NOW) == first
    bookmarks.add(anomaly, user=vic, at=make.NOW)
    assert (first.created_at, Bookmark.objects.count()) == (make.NOW, 2)
    assert bookmarks.remove(anomaly, user=ana)
    assert not bookmarks.remove(anomaly, user=ana)
    assert Bookmark.objects.get().user == vic

"""services/hiding: a suppression hides what is up for review when it is made, and that can be undone."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from anomalies.models import Anomaly, ReviewEntry, Suppression
from anomalies.services import hiding
from anomalies.services.actor import Actor
from anomalies.services.reviews import ReviewError
from anomalies.services.suppressions import Conditions
from tests import make

pytestmark = pytest.mark.django_db
OF_BILLING = Conditions(type="rate_spike", agent_id="ag_billing")


def suppress(
    ana: User, because_of: Anomaly | None, *, others_until: int | None = None, conditions: Conditions = OF_BILLING
) -> Suppression:
    return hiding.create_and_hide(
        reason="Nightly sync.",
        owner="ana",
        conditions=conditions,
        expires_at=None,
        because_of=because_of,
        others_until=others_until,
        by=Actor("ana", ana),
        at=make.NOW,
    )


def test_the_anomaly_that_it_is_made_from_is_hidden_and_its_timeline_says_so(ana: User) -> None:
    anomaly, other = make.anomaly(), make.anomaly()
    made = suppress(ana, anomaly)
    anomaly.refresh_from_db()
    other.refresh_from_db()
    assert anomaly.suppression == made
    assert other.suppression is None
    entry = ReviewEntry.objects.get(anomaly=anomaly)
    assert (entry.action, entry.actor, entry.note) == ("suppressed", "ana", f"Nightly sync. ({made.public_id}, ana)")


def test_others_are_hidden_up_to_the_newest_that_was_shown(ana: User) -> None:
    anomaly, shown = make.anomaly(), make.anomaly()
    until = hiding.newest_id()
    later, of_another, decided = make.anomaly(), make.anomaly(agent=make.agent("ag_2")), make.anomaly()
    Anomaly.objects.filter(pk=decided.pk).update(status="acknowledged", acknowledged_at=make.NOW)
    made = suppress(ana, anomaly, others_until=until)
    assert set(made.anomalies.all()) == {anomaly, shown}
    assert {later, of_another, decided}.isdisjoint(made.anomalies.all())


def test_what_was_hidden_comes_back_at_once(ana: User) -> None:
    anomaly, other = make.anomaly(), make.anomaly()
    made = suppress(ana, anomaly, others_until=hiding.newest_id())
    hidden = hiding.hidden_with(made)
    assert hidden is not None
    assert hidden.count == 2
    outcome = hiding.bring_back(hidden, by=Actor("ana", ana), at=make.NOW + timedelta(hours=1))
    assert outcome.done == 2
    assert set(Anomaly.objects.needs_review()) == {anomaly, other}
    again = hiding.hidden_with(made)
    assert again is not None
    assert again.count == 0


def test_one_that_does_not_meet_the_conditions_stays(ana: User) -> None:
    anomaly = make.anomaly(agent=make.agent("ag_2"))
    made = suppress(ana, anomaly)
    assert hiding.hidden_with(made) is None
    assert Anomaly.objects.needs_review().get() == anomaly


def test_a_machine_hides_nothing(ana: User) -> None:
    with pytest.raises(ReviewError, match="ci is no person"):
        hiding.create_and_hide(
            reason="x",
            owner="x",
            conditions=OF_BILLING,
            expires_at=None,
            because_of=None,
            others_until=None,
            by=Actor("ci"),
            at=make.NOW,
        )
    assert not Suppression.objects.exists()

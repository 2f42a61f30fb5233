"""web/ids: any id has a page."""

from urllib.parse import unquote, urljoin

import pytest
from django.test import Client
from django.urls import reverse

from tests import make

IDS = [
    "ag_billing",
    "team/ag 1",
    "a%2Fb",
    "/etc/",
    "a//b",
    ".",
    "..",
    "../../admin",
    "a/./b",
    "~.",
    "~~../~.",
    "~a.b..",
    "سميرة",
    "a?b#c&d=é",
    "a\\b",
    "line\nbreak",
    "change",
]


@pytest.mark.parametrize("public_id", IDS)
@pytest.mark.parametrize("name", ["agent_page", "principal_page"])
@pytest.mark.django_db
def test_any_id_leads_to_its_own_page(as_vic: Client, name: str, public_id: str) -> None:
    (make.agent if name == "agent_page" else make.principal)(public_id, name="The one")
    make.agent("a/b", name="Another")
    make.agent("team/ag 1/", name="Another")
    path = reverse(name, args=[public_id])
    assert "The one" in as_vic.get(path).text
    # As a browser resolves it: the path as it is, no part of it taken for a way up.
    assert urljoin("http://testserver/x", path) == f"http://testserver{path}"
    assert not {".", ".."} & set(unquote(path).split("/"))


@pytest.mark.parametrize("name", ["agent_page", "principal_page"])
@pytest.mark.django_db
def test_an_unknown_id_is_a_404_that_says_so_and_leads_to_a_search(as_vic: Client, name: str) -> None:
    response = as_vic.get(reverse(name, args=["<b>/x"]))
    assert response.status_code == 404
    assert "“<bdi>&lt;b&gt;/x</bdi>”" in response.text
    assert "?q=%3Cb%3E%2Fx" in response.text

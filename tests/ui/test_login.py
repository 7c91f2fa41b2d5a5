"""gradio's own login, by which the HTTP API knows who is on the page; in each gradio."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("gradio")

import gradio as gr
from fastapi import Request
from fastapi.testclient import TestClient

from lib_singlelora.ui.compat import users_of


def app_with(auth: list[tuple[str, str]] | None) -> Any:
    """gradio's app of a page, and a route that says whose request it is."""
    with gr.Blocks() as page:
        gr.HTML("")
    page.auth = auth
    return gr.routes.App.create_app(page)


# Secure cookies come back over HTTPS alone: the page of a machine in the next room has another
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_has_logged_in_is_known(scheme: str) -> None:
    app = app_with([("anna", "secret")])
    user = users_of(app)
    assert user is not None

    def whose(request: Request) -> dict[str, Any]:
        return {"user": user(request)}

    app.add_api_route("/whose", whose)
    client = TestClient(app, base_url=f"{scheme}://192.168.0.7:7860")
    assert client.get("/whose").json() == {"user": None}
    client.post("/login", data={"username": "anna", "password": "wrong"})
    assert client.get("/whose").json() == {"user": None}
    client.post("/login", data={"username": "anna", "password": "secret"})
    assert client.get("/whose").json() == {"user": "anna"}


def test_without_a_login_there_is_nobody_to_know() -> None:
    assert users_of(app_with(None)) is None

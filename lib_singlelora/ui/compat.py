"""Where the gradios differ (3.41 in A1111, 4.40 in Forge, 6 standalone); nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

MODERN = int(gr.__version__.split(".")[0]) >= 4


def script(code: str) -> dict[str, str]:
    """The keyword that runs JavaScript before an event's function."""
    return {"js" if MODERN else "_js": code}


def unsaved(component: Any) -> Any:
    """The component, whose value the WebUI's ui-config.json shall not set."""
    component.do_not_save_to_config = True
    return component


def html(value: str, elem_id: str) -> Any:
    """A piece of HTML of our own."""
    # gradio 4 knows no such keyword yet
    more = {"padding": False} if int(gr.__version__.split(".")[0]) >= 5 else {}
    return gr.HTML(value, elem_id=elem_id, **more)


def show_warning(text: str) -> None:
    """A box over the page of the user whose click is being handled; elsewhere Python's warning."""
    gr.Warning(text)


def quiet() -> dict[str, Any]:
    """Keywords of an event whose outputs must not flicker while it runs."""
    return {"show_progress": "hidden"} if MODERN else {"show_progress": False}


def users_of(app: Any) -> Callable[[Any], str | None] | None:
    """gradio's own login: a function from a request to the user's name; None without a login.

    app: gradio's own, which serves the page.
    """
    if not getattr(app, "auth", None):
        return None
    # gradio 4 gives its cookies a suffix of their own for each app
    suffix = f"-{app.cookie_id}" if hasattr(app, "cookie_id") else ""
    # The first comes back over HTTPS alone
    names = (f"access-token{suffix}", f"access-token-unsecure{suffix}")

    def user(request: Any) -> str | None:
        token = next(filter(None, map(request.cookies.get, names)), None)
        name: str | None = app.tokens.get(token)
        return name

    return user

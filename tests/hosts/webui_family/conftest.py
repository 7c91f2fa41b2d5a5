"""The stand-in for AUTOMATIC1111's WebUI, on which the whole family's part is tested."""

from tests.hosts.webui.conftest import webui

__all__ = ["webui"]

"""Which program this is, by what is there: versions tell nothing, for each numbers its own way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.util import find_spec

from ..hosts.webui_family.host import FamilyHost

# To the console by itself: the programs leave out what is no warning.
logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)
logger.propagate = False
logger.addHandler(logging.StreamHandler(sys.stdout))


def choose_host(show_warning: Callable[[str], None]) -> FamilyHost:
    """The host of the program that runs us.

    show_warning: shows a sentence to the user whose click is being answered.
    """
    host = _host(show_warning)
    logger.info("Single LoRA: runs in %s", program_name(host))
    return host


def program_name(host: FamilyHost) -> str:
    """The program as people know it, with what it says of its version."""
    try:
        from modules import launch_utils

        version = str(launch_utils.git_tag())  # it asks git once
    except (ImportError, AttributeError):
        version = ""
    return f"{host.title} {version}".strip()


def _host(show_warning: Callable[[str], None]) -> FamilyHost:
    if find_spec("modules_forge") is None:
        from ..hosts.webui.host import WebUIHost

        return WebUIHost(show_warning)
    from ..hosts.forge.host import ForgeHost

    if find_spec("ldm_patched") is not None:
        from ..hosts.forge.ldm_patched_backend import LdmPatchedBackend

        return ForgeHost(LdmPatchedBackend(), show_warning)
    from ..hosts.forge.forge_backend import ForgeBackend

    return ForgeHost(ForgeBackend(), show_warning)

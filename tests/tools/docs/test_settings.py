"""docs/settings.md is generated."""

from lib_singlelora.settings.schema import declarations
from tools.docs.settings import PAGE, page


def test_the_page_of_settings_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "stale: run python -m tools.docs.settings"


def test_the_page_has_every_setting_once() -> None:
    written = page()
    assert [written.count(f"**`{declared.name}`**") for declared in declarations()] == [1] * len(
        declarations()
    )

"""docs/settings.md is generated."""

from lib_singlelora.settings.schema import Settings, declaration, declarations, describe
from tools.docs.settings import PAGE, page


def test_the_page_of_settings_is_up_to_date() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "stale: run python -m tools.docs.settings"


def test_the_page_has_every_setting_once() -> None:
    written = page()
    assert [written.count(f"**`{declared.name}`**") for declared in declarations()] == [1] * len(
        declarations()
    )


def test_the_defaults_are_those_of_a_new_workspace() -> None:
    new = Settings.from_dict({})
    assert new.training.unet_lr != declaration("training.unet_lr").default  # a preset sets it
    [line] = [line for line in page().splitlines() if line.startswith("**`training.unet_lr`**")]
    assert f"default `{new.training.unet_lr}`" in line
    [told] = [line for line in describe() if line.startswith("training.unet_lr=")]
    assert told.startswith(f"training.unet_lr={new.training.unet_lr} ")

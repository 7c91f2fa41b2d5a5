"""The prompts of a sheet: those of the settings, or what the captions say of the character."""

from __future__ import annotations

from ..captions.prompt_bars import split_prompts
from ..captions.prompt_language import escape, prompt_of
from ..captions.prompt_sets import build_prompts
from ..captions.pruning import outfit_trigger, subject_of
from ..captions.text import join_tags
from ..settings.schema import Settings
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.outfit import named_outfit
from ..workspace.workspace import Workspace

OUTFIT = "{outfit}"
USUAL_FRAMING = "upper body"


def default_prompt(settings: Settings, workspace: Workspace) -> str:
    """The prompt where none is set: the character in the clothes that captions name, plainly.

    Its framing is that of the widest crop: no other shows all that was learned.
    """
    outfit = named_outfit(settings, workspace)
    return prompt_of(
        (
            *subject_of(settings.character, settings.caption),
            "solo",
            *outfit.clothes,
            outfit.framing or USUAL_FRAMING,
            "looking at viewer",
            "simple background",
        )
    )


def filled_in(prompt: str, settings: Settings, workspace: Workspace) -> str:
    """The prompt with trigger, class and outfit in the places of {trigger}, {class}, {outfit}.

    The outfit is its own trigger, if it has one, and the clothes that captions name.  Where there
    is neither, {outfit} goes with its comma.
    """
    character = settings.character
    prompt = prompt.replace("{trigger}", escape(character.trigger))
    prompt = prompt.replace("{class}", escape(character.class_token))
    if OUTFIT not in prompt:
        return prompt
    words = (outfit_trigger(settings.caption), *named_outfit(settings, workspace).clothes)
    clothes = join_tags(map(escape, words))
    if not clothes:
        for empty in (f"{OUTFIT}, ", f", {OUTFIT}", OUTFIT):
            prompt = prompt.replace(empty, "")
    return prompt.replace(OUTFIT, clothes)


def prompts_of(settings: Settings, workspace: Workspace) -> tuple[str, ...]:
    """The prompts of the sheet: `plot.prompts`, then a set built from captions and traits.

    Without both, `plot.prompt` or the default prompt.
    """
    options = settings.plot
    character = settings.character
    prompts = [filled_in(prompt, settings, workspace) for prompt in split_prompts(options.prompts)]
    if options.prompt_set != "none":
        captions = [read_caption(path) for path in list_pictures(workspace.image_folder(settings))]
        traits = {
            trait["tag"]: (trait["seen"], trait["visible"])
            for trait in workspace.record("caption").data.get("traits", ())
        }
        prompts += build_prompts(
            options.prompt_set, character.trigger, character.class_token, captions, traits
        )
    return tuple(dict.fromkeys(prompts)) or (main_prompt(settings, workspace),)


def main_prompt(settings: Settings, workspace: Workspace) -> str:
    """The prompt that draws the character: `plot.prompt`, else the default prompt."""
    prompt = filled_in(settings.plot.prompt, settings, workspace)
    return prompt or default_prompt(settings, workspace)

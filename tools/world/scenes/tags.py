"""Scene -> danbooru-style tags, of what the picture really shows and of nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .geometry import SITTING_SOLE, SOLE, WINDOWS, hands, hem, parts
from .spec import Character, Scene

VIEW_TAGS = {"front": "looking at viewer", "side": "from side", "behind": "from behind"}
SIMPLE = ("white", "grey", "blue", "green", "pink", "yellow")


def _shown(scene: Scene, who: Character, name: str, least: float = 0.55) -> bool:
    """Whether at least this share of a part's height lies in the frame."""
    box = parts(who, scene.pose, scene.view).get(name)
    if box is None:
        return False
    top, bottom = WINDOWS[scene.framing]
    if len(scene.characters) == 2:
        top = min(top, -0.9)
        bottom = max(bottom, 1.2)
    return (min(box[3], bottom) - max(box[1], top)) >= least * (box[3] - box[1])


def tags(scene: Scene) -> list[str]:
    """The tags in a fixed order: count, framing, pose, view, head, clothes, background.

    Of two figures only hair and count are told.
    """
    out: list[str] = []
    if not scene.characters:
        out += ["no humans", "scenery"]
    elif len(scene.characters) == 2:
        out += ["2girls", scene.framing]
        out += list(dict.fromkeys(f"{who.hair.colour} hair" for who in scene.characters))
    else:
        who = scene.characters[0]
        out += [
            "1girl",
            "solo",
            scene.framing,
            *_pose_tags(scene, who),
            *_head_tags(scene, who),
            *_clothes_tags(scene, who),
        ]
    if scene.background in SIMPLE:
        out += [f"{scene.background} background", "simple background"]
    else:
        out.append(scene.background)
    return out


def _pose_tags(scene: Scene, who: Character) -> list[str]:
    out = []
    head = _shown(scene, who, "head")
    if scene.view != "front" or (head and not who.face.closed):
        out.append(VIEW_TAGS[scene.view])
    bottom = WINDOWS[scene.framing][1]
    top = WINDOWS[scene.framing][0]
    if scene.pose == "arms up" and head and scene.framing != "close-up":
        out.append("arms up")
    elif scene.pose == "sitting" and bottom > 1.75:
        out.append("sitting")
    elif scene.pose == "waving" and head and scene.framing not in ("close-up", "portrait"):
        out.append("waving")
    elif scene.pose in ("hand on hip", "arms behind back") and bottom >= 1.25 and top < 1.0:
        out.append(scene.pose)
    elif scene.pose == "standing" and bottom > 1.75:
        out.append("standing")
    return out


def _head_tags(scene: Scene, who: Character) -> list[str]:
    out: list[str] = []
    if not _shown(scene, who, "head"):
        return out
    hair = who.hair
    face = who.face
    wear = who.headwear
    if hair.second:
        out += ["split-color hair", f"{hair.second} hair"]
    out.append(f"{hair.colour} hair")
    if scene.framing != "close-up":
        out.append(f"{hair.length} hair" if hair.style != "bob" else "bob cut")
        if hair.style in ("twintails", "ponytail"):
            out.append(hair.style)
    if wear.kind == "hat" and scene.framing != "close-up":
        out += [f"{wear.colour} hat", "hat"]
        if wear.bow:
            out += ["hat bow", f"{wear.bow} bow"]
    elif wear.kind == "hair bow":
        out += ["hair bow", f"{wear.colour} bow"]
    elif wear.kind == "hair ribbon":
        out += ["hair ribbon", f"{wear.colour} ribbon"]
    out += [name for name in ("cat ears", "horns", "halo") if who.extra(name)]
    if scene.view != "behind":
        out.append(f"{hair.bangs} bangs")
        out += ["closed eyes"] if face.closed else [f"{face.eyes} eyes"]
        out += {"smile": ["smile"], "open": ["open mouth"], "frown": ["frown"], "neutral": []}[
            face.mouth
        ]
        out += ["angry"] * face.angry + ["blush"] * face.blush
        if who.extra("eyepatch") and scene.view == "front":
            out.append("eyepatch")
        if who.extra("glasses"):
            out.append("glasses")
    return out


def _clothes_tags(scene: Scene, who: Character) -> list[str]:
    out: list[str] = []
    outfit = who.outfit
    top, bottom = WINDOWS[scene.framing]
    if _shown(scene, who, "torso", 0.5):
        if outfit.top == "sailor":
            out += ["sailor collar", f"{outfit.collar} collar"]
        else:
            out.append(f"{outfit.top_colour} {outfit.top}")
        if outfit.laces and scene.view != "behind":
            out.append(f"{outfit.laces} laces")
        if outfit.capelet:
            out += [
                f"{outfit.capelet} capelet",
                *(["striped capelet"] if outfit.capelet_stripes else []),
            ]
        if who.extra("scarf"):
            out.append(f"{who.extra('scarf')} scarf")
        out += ["striped scarf"] if who.extra("scarf stripes") else []
        out += [f"{who.extra('wings')} wings"] if who.extra("wings") else []
        out += [f"{who.extra('cape')} cape"] if who.extra("cape") else []
        if who.extra("odd sleeve") and scene.view != "side":
            out.append("mismatched sleeves")
        if who.extra("apron") and scene.view != "behind":
            out.append(f"{who.extra('apron')} apron")
    elif outfit.top == "dress" and _shown(scene, who, "skirt", 0.5):
        out.append(f"{outfit.top_colour} dress")
    if who.extra("polka dot") and top < 1.6 and bottom > 1.0:
        out.append("polka dot")
    out += _skirt_tags(scene, who)
    ys = [y for _, y in hands(scene.pose, scene.view)]
    if (
        ys
        and any(top + 0.05 < y < bottom - 0.05 for y in ys)
        and scene.framing not in ("close-up", "portrait")
    ):
        if outfit.cuffs:
            out += [f"{outfit.cuffs} cuffs", *(["striped cuffs"] if outfit.cuff_stripes else [])]
        if outfit.gloves:
            out.append(f"{outfit.gloves} gloves")
    if who.extra("tail") and top < 1.1 and bottom > 1.7:
        out.append("tail")
    if who.extra("striped legwear") and bottom > 2.3:
        out.append("striped legwear")
    if bottom > (SITTING_SOLE if scene.pose == "sitting" else SOLE) - 0.1:
        if outfit.boots:
            out.append(f"{outfit.boots} boots")
            if outfit.boot_laces and scene.view != "behind":
                out.append("cross-laced footwear")
        else:
            out.append("shoes")
    return out


def _skirt_tags(scene: Scene, who: Character) -> list[str]:
    outfit = who.outfit
    _, bottom = WINDOWS[scene.framing]
    if outfit.bottom == "pants":
        return [f"{outfit.bottom_colour} pants"] if bottom > 1.7 else []
    if bottom < 1.7:
        return []
    out = [f"{outfit.bottom_colour} skirt"] if outfit.top != "dress" else []
    hem_seen = bottom > hem(who, scene.pose) - 0.1
    if outfit.bottom != "skirt" and (outfit.bottom == "miniskirt") <= hem_seen:
        out.append(outfit.bottom)
    if hem_seen:
        out += ["frills"] * outfit.frills
        if outfit.stripes:
            out += ["striped skirt", f"{outfit.stripes} stripes"]
        out += ["two-tone skirt"] if who.extra("two-tone skirt") else []
    return out


def caption(
    scene: Scene,
    rng: random.Random,
    empty: float = 0.1,
    partial: float = 0.3,
    hand: Sequence[str] = (),
) -> str:
    """A training caption: the count first, the rest shuffled; sometimes only some of the tags,
    sometimes nothing.

    hand: tags of the hand that drew it, which every caption with tags names.
    """
    if rng.random() < empty:
        return ""
    first, *rest = tags(scene)
    if rng.random() < partial:
        rest = rng.sample(rest, rng.randint(min(3, len(rest)), len(rest)))
    else:
        rng.shuffle(rest)
    if hand:
        rest += hand
        rng.shuffle(rest)
    return ", ".join([first, *rest])

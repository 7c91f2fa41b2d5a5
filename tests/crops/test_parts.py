"""Parts of a figure: where they lie, and that only what is there is a part."""

import numpy as np
from PIL import Image, ImageDraw

from lib_singlelora.crops.parts import Part, find_part, propose_parts

SIZE = (400, 1000)


def figure(bottom: int = 1000) -> Image.Image:
    """A head, a neck, a body with arms, two legs; cut where `bottom` says."""
    mask = Image.new("L", SIZE)
    pen = ImageDraw.Draw(mask)
    pen.ellipse((130, 40, 270, 200), fill=255)
    pen.rectangle((185, 190, 215, 230), fill=255)
    pen.rectangle((110, 225, 290, 520), fill=255)
    pen.rectangle((60, 230, 115, 560), fill=255)
    pen.rectangle((285, 230, 340, 560), fill=255)
    pen.rectangle((120, 520, 185, 960), fill=255)
    pen.rectangle((215, 520, 280, 960), fill=255)
    return mask.crop((0, 0, SIZE[0], bottom))


def parts_of(mask: Image.Image) -> list[Part]:
    return propose_parts(mask, Image.new("RGB", mask.size, "white"), (165, 90, 235, 195), 0)


def middle(part: Part) -> tuple[float, float]:
    """Column and row."""
    rows, columns = np.nonzero(np.asarray(part.mask))
    return float(columns.mean()), float(rows.mean())


def test_a_standing_figure_has_all_parts_in_their_places() -> None:
    parts = {part.name: part for part in parts_of(figure())}
    names = "head hat hair torso skirt legs feet".split()
    assert set(names) | {"left sleeve", "right sleeve"} == set(parts)
    rows = {name: middle(part)[1] for name, part in parts.items()}
    assert rows["hat"] < rows["head"] < rows["torso"] < rows["skirt"] < rows["legs"] < rows["feet"]
    assert middle(parts["left sleeve"])[0] < 140 and middle(parts["right sleeve"])[0] > 260


def test_hair_leaves_the_face_out() -> None:
    hair = next(part for part in parts_of(figure()) if part.name == "hair")
    assert not np.asarray(hair.mask)[100:190, 170:230].any()


def test_the_head_s_mask_goes_beyond_the_crown() -> None:
    head = next(part for part in parts_of(figure()) if part.name == "head")
    assert np.nonzero(np.asarray(head.mask))[0].min() < 35  # the crown lies at 40


def test_a_cut_figure_has_no_feet() -> None:
    names = {part.name for part in parts_of(figure(560))}
    assert "head" in names and "torso" in names and not names & {"feet", "legs"}


def test_other_words_find_a_part() -> None:
    parts = parts_of(figure())
    assert find_part(parts, "Boots") is find_part(parts, "feet") is not None
    assert find_part(parts, "left_sleeve") is not None and find_part(parts, "wings") is None

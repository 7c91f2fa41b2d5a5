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


def test_a_skirt_ends_at_its_hem_and_a_torso_at_the_waist() -> None:
    mask = figure()
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((110, 225, 290, 460), fill="navy")
    pen.rectangle((110, 461, 290, 640), fill="firebrick")
    for top in range(480, 640, 40):  # stripes are no end
        pen.rectangle((110, top, 290, top + 12), fill="gold")
    pen.rectangle((110, 641, 290, 960), fill="peachpuff")
    parts = {part.name: part for part in propose_parts(mask, picture, (165, 90, 235, 195), 0)}
    rows = {name: np.nonzero(np.asarray(part.mask))[0] for name, part in parts.items()}
    assert abs(rows["torso"].max() - 460) < 12
    assert abs(rows["skirt"].min() - 460) < 12 and abs(rows["skirt"].max() - 640) < 12
    assert abs(rows["legs"].min() - 640) < 12


def test_below_a_long_skirt_there_are_no_legs() -> None:
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((110, 225, 290, 860), fill="navy")
    pen.rectangle((110, 861, 290, 960), fill="saddlebrown")
    parts = {part.name: part for part in propose_parts(figure(), picture, (165, 90, 235, 195), 0)}
    assert "legs" not in parts and "skirt" in parts
    assert abs(np.nonzero(np.asarray(parts["skirt"].mask))[0].max() - 860) < 12


def test_other_words_find_a_part() -> None:
    parts = parts_of(figure())
    assert find_part(parts, "Boots") is find_part(parts, "feet") is not None
    assert find_part(parts, "left_sleeve") is not None and find_part(parts, "wings") is None

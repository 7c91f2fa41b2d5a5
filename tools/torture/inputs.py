"""What readers are fed: values, texts and bytes of the kinds that break readers."""

from __future__ import annotations

import io
import json
import pickle
import struct
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# Letters that mean something to one of our readers, and those that no encoding or file system
# likes.
MEANINGFUL = (
    "aA0 ,.:;|/\\\\_-+$%{}[]()<>=\"'#@!?*^~&\n\r\t\0\x1b\ufeff\u2028\u0301\u00b9\ud800\udc80é猫😀"
)
WORDS = (
    "1girl",
    "__expression__",
    "{a|b}",
    "2$$",
    "0.5::",
    "${v=x}",
    "${v}",
    "OUTD",
    "ALL",
    "IN04",
    "lbw=",
    "R",
    "U",
    "X",
    "COM1",
    "..",
    "../..",
    "NaN",
    "inf",
    "-1",
    "1e400",
    "9" * 30,
    "true",
    "null",
    "BREAK",
    "<lora:a:1>",
    "\\(",
    "http://x",
    "\\\\\\\\host\\\\x",
    "~",
    "/",
)


def texts(most: int = 60) -> SearchStrategy[str]:
    """Any text, those letters, and those words in a row."""
    return st.one_of(
        st.text(max_size=most),
        st.text(MEANINGFUL, max_size=most),
        st.lists(
            st.one_of(st.sampled_from(WORDS), st.text(MEANINGFUL, max_size=3)), max_size=12
        ).map("".join),
    )


def numbers() -> SearchStrategy[Any]:
    """Numbers of JSON, and what Python's reader takes beyond it."""
    return st.one_of(
        st.integers(-3, 70),
        st.integers(),
        st.sampled_from((2**31, 2**32, 2**63, 2**64, 10**18, 10**30, -(2**63))),
        st.floats(),
        st.booleans(),
    )


def values(depth: int = 12) -> SearchStrategy[Any]:
    """Nested values as JSON gives them."""
    leaves = st.one_of(st.none(), numbers(), texts(20))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(texts(8), inner, max_size=4)
        ),
        max_leaves=depth,
    )


def objects(keys: tuple[str, ...], most: int = 6) -> SearchStrategy[dict[str, Any]]:
    """Objects with keys that are known, and some that are not."""
    return st.dictionaries(st.one_of(st.sampled_from(keys), texts(10)), values(6), max_size=most)


def json_bytes(inner: SearchStrategy[Any]) -> SearchStrategy[bytes]:
    """A file of JSON: whole, cut, with a mark, in another encoding, or spoiled."""

    def written(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")

    whole = inner.map(written)
    return st.one_of(
        whole,
        whole,
        spoiled(whole),
        st.binary(max_size=40),
        whole.map(lambda data: b"\xef\xbb\xbf" + data),
        inner.map(lambda value: json.dumps(value).encode("utf-16")),
        st.sampled_from(
            (b"[" * 50_000, b'{"a":' * 50_000, b"", b"null", b"0" * 10_000, b"9" * 10_000)
        ),
    )


def spoiled(whole: SearchStrategy[bytes], most: int = 6) -> SearchStrategy[bytes]:
    """Bytes that are cut, changed here and there, or have some put in."""

    def spoil(data: bytes, edits: list[tuple[float, int, bytes]], end: float | None) -> bytes:
        for place, kind, piece in edits:
            at = int(place * len(data))
            data = (
                data[:at]
                + piece
                + data[at + (len(piece) if kind == 0 else 0 if kind == 1 else len(piece) * 4) :]
            )
        return data if end is None else data[: int(end * len(data))]

    places = st.tuples(st.floats(0, 1), st.integers(0, 2), st.binary(min_size=1, max_size=8))
    return st.builds(
        spoil, whole, st.lists(places, max_size=most), st.one_of(st.none(), st.floats(0, 1))
    )


def headers(keys: tuple[str, ...]) -> SearchStrategy[bytes]:
    """Files that begin as safetensors do: heads of any values, with lengths and data that fit them
    or not.
    """
    whole = st.integers(0, 64)
    number = st.one_of(whole, st.sampled_from((-1, 2**31, 2**63, 2**64, 10**18)), values(2))
    entry = st.one_of(
        values(3),
        st.fixed_dictionaries(
            {
                "dtype": st.one_of(
                    st.sampled_from(
                        ("F32", "F16", "BF16", "U8", "I64", "BOOL", "F8_E4M3", "F4", "C64")
                    ),
                    values(1),
                ),
                "shape": st.one_of(st.lists(number, max_size=4), values(2)),
                "data_offsets": st.one_of(st.lists(number, min_size=2, max_size=2), values(2)),
            }
        ),
    )
    metadata = st.one_of(values(3), st.dictionaries(texts(8), texts(20), max_size=4))
    head = st.builds(
        lambda entries, meta, has: {**entries, **({"__metadata__": meta} if has else {})},
        st.dictionaries(st.one_of(st.sampled_from(keys), texts(12)), entry, max_size=4),
        metadata,
        st.booleans(),
    )

    def written(text: bytes, data: bytes, length: int | None) -> bytes:
        return struct.pack("<Q", len(text) if length is None else length % 2**64) + text + data

    lengths = st.one_of(
        st.none(), st.none(), st.none(), st.integers(0, 200), st.sampled_from((10**18, 2**64 - 1))
    )
    return st.builds(written, json_bytes(head), st.binary(max_size=64), lengths)


def fitting_loras(keys: tuple[str, ...]) -> SearchStrategy[bytes]:
    """Safetensors files that are whole, of tensors that need not fit one another."""
    import safetensors.torch
    import torch

    shape = st.lists(st.integers(0, 5), max_size=4)
    kinds = st.sampled_from(
        (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
    )
    fill = st.sampled_from((0.0, 1.0, float("nan"), float("inf"), -1e4))
    tensor = st.builds(
        lambda size, kind, value: torch.full(
            size, value if kind.is_floating_point else 1, dtype=kind
        ),
        shape,
        kinds,
        fill,
    )
    return st.builds(
        lambda tensors, metadata: safetensors.torch.save(tensors, metadata),
        st.dictionaries(
            st.one_of(st.sampled_from(keys), st.text("abc._0", min_size=1, max_size=8)),
            tensor,
            max_size=6,
        ),
        st.dictionaries(
            st.one_of(st.sampled_from(METADATA), st.text("ab_", max_size=6)),
            st.text('{}[]"0a:,', max_size=20),
            max_size=5,
        ),
    )


METADATA = (
    "ss_tag_frequency",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
    "ss_singlelora_history",
    "native_size",
    "ss_network_module",
    "modelspec.resolution",
    "ss_base_model_version",
    "ss_output_name",
    "singlelora_preset",
)


def pickles() -> SearchStrategy[bytes]:
    """What torch saves, spoiled, and pickles of other things."""
    import torch

    def saved(value: Any, archive: bool) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer, _use_new_zipfile_serialization=archive)
        return buffer.getvalue()

    tensor = st.builds(lambda size: torch.zeros(size), st.lists(st.integers(0, 4), max_size=3))
    tree = st.recursive(
        st.one_of(tensor, st.integers(), st.text("ab", max_size=4), st.none()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.text("ab", max_size=3), inner, max_size=3),
        ),
        max_leaves=6,
    )
    whole = st.builds(saved, tree, st.booleans())
    return st.one_of(
        whole,
        spoiled(whole),
        spoiled(whole),
        st.binary(max_size=60),
        st.binary(max_size=40).map(b"\x80\x02".__add__),
        values(4).map(lambda value: pickle.dumps(value)),
    )


def pictures() -> SearchStrategy[bytes]:
    """Small pictures of several formats, whole and spoiled."""
    from PIL import Image

    def written(mode: str, size: tuple[int, int], form: str, exif: bytes) -> bytes:
        buffer = io.BytesIO()
        more = {"exif": b"Exif\0\0" + exif} if exif and form in ("JPEG", "PNG", "WEBP") else {}
        image = Image.effect_noise(size, 60) if min(size) else Image.new("L", (1, 1))
        image.convert(mode if form != "JPEG" or mode in ("L", "RGB", "CMYK") else "RGB").save(
            buffer, form, **more
        )
        return buffer.getvalue()

    sides = st.sampled_from((1, 31, 33, 48, 64))
    made = st.one_of(
        st.builds(
            written,
            st.sampled_from(("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
            st.tuples(sides, sides),
            st.just("PNG"),
            st.binary(max_size=40),
        ),
        st.builds(
            written,
            st.sampled_from(("L", "RGB", "CMYK")),
            st.tuples(sides, sides),
            st.just("JPEG"),
            st.binary(max_size=40),
        ),
        st.builds(
            written,
            st.sampled_from(("L", "RGB")),
            st.tuples(sides, sides),
            st.sampled_from(("GIF", "BMP", "TIFF", "WEBP", "PPM")),
            st.just(b""),
        ),
    )
    eps = st.just(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n")
    return st.one_of(
        made,
        spoiled(made),
        spoiled(made, 2),
        eps,
        st.binary(max_size=60),
        st.builds(
            lambda w, h: (
                b"\x89PNG\r\n\x1a\n"
                + struct.pack(">I4sII5sI", 13, b"IHDR", w, h, b"\x08\x02\0\0\0", 0)
            ),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**32 - 1),
        ),
    )

"""`patched` leaves modules as it found them, however it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from torch import nn

from lib_singlelora.ops.patch import patched


class Module(nn.Module):
    def forward(self) -> str:
        return "class"


def answer(text: str) -> Callable[[], str]:
    return lambda: text


def test_the_class_s_attribute_shows_again() -> None:
    module = Module()
    with patched([(module, "forward", answer("patch"))]):
        assert module() == "patch" and Module()() == "class"
    assert module() == "class" and "forward" not in vars(module)


def test_an_instance_s_attribute_is_put_back() -> None:
    module = Module()
    earlier = answer("another's")
    vars(module)["forward"] = earlier
    with patched([(module, "forward", answer("patch"))]):
        assert module() == "patch"
    assert vars(module)["forward"] is earlier


def test_an_instance_s_none_is_put_back() -> None:
    """Not the same as an attribute that is missing: it hides the class's."""
    module = Module()
    vars(module)["forward"] = None
    with patched([(module, "forward", answer("patch"))]):
        pass
    assert vars(module)["forward"] is None


def test_everything_is_restored_after_an_error_inside() -> None:
    modules = [Module(), Module()]
    vars(modules[1])["forward"] = earlier = answer("another's")
    with (
        pytest.raises(RuntimeError, match="inside"),
        patched([(module, "forward", answer("patch")) for module in modules]),
    ):
        raise RuntimeError("inside")
    assert "forward" not in vars(modules[0]) and vars(modules[1])["forward"] is earlier


def test_what_was_patched_before_an_error_on_the_way_in_is_restored() -> None:
    module = Module()

    def patches() -> Iterator[tuple[nn.Module, str, Callable[[], str]]]:
        yield module, "forward", answer("patch")
        assert module() == "patch"
        raise MemoryError

    with pytest.raises(MemoryError), patched(patches()):
        raise AssertionError("unreachable")
    assert module() == "class"


def test_a_module_patched_twice_gets_its_own_back() -> None:
    module = Module()

    def wrap(count: int) -> Iterator[tuple[nn.Module, str, Callable[[], str]]]:
        for _ in range(count):
            forward = module.forward
            yield module, "forward", lambda forward=forward: f"({forward()})"

    with patched(wrap(2)):
        assert module() == "((class))"
        with patched(wrap(1)):
            assert module() == "(((class)))"
        assert module() == "((class))"
    assert module() == "class" and "forward" not in vars(module)


def test_a_patch_that_is_gone_already_is_no_error() -> None:
    module = Module()
    with patched([(module, "forward", answer("patch"))]):
        del vars(module)["forward"]
    assert module() == "class"


def test_an_error_s_traceback_does_not_grow_with_the_number_of_modules() -> None:
    def entries(count: int) -> int:
        with (
            pytest.raises(RuntimeError) as caught,
            patched([(Module(), "forward", answer("patch")) for _ in range(count)]),
        ):
            raise RuntimeError
        return len(caught.traceback)

    assert entries(1) == entries(50)

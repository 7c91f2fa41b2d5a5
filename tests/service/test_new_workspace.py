"""Starting a character: whose folder it is, who wins a race, what is taken back."""

import shutil
import threading
from pathlib import Path

import pytest

from lib_singlelora.errors import ConflictError, PictureError, SingleLoraError, WorkspaceError
from lib_singlelora.host import AskedPreset
from lib_singlelora.service.service import Service
from lib_singlelora.workspace.workspace import Workspace
from tests.two_colours import two_colours

PICTURE = Path(__file__).parents[1] / "data" / "astronaut.png"


class NoHost:
    """A host without a checkpoint loaded: the service starts characters all the same."""

    asked_preset = AskedPreset()


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(NoHost(), lambda: tmp_path / "workspaces")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another picture."""
    two_colours((300, 300), (200, 30, 30)).save(tmp_path / "other.png")
    return tmp_path / "other.png"


def everything(folder: Path) -> dict[str, bytes]:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {name: data for name, data in files.items() if ".singlelora." not in name}


def test_the_users_own_folder_of_that_name_is_left_alone(service: Service) -> None:
    mine = service.root / "elsa" / "photos"
    mine.mkdir(parents=True)
    (mine / "only copy.png").write_bytes(b"mine")
    before = everything(service.root)
    with pytest.raises(ConflictError, match="no workspace, expected a free name"):
        service.start(PICTURE, "elsa", "girl", "elsa")
    assert everything(service.root) == before
    # A name nobody asked for is chosen beside it
    assert service.start(PICTURE, "elsa", "girl") == "elsa 2"
    assert (mine / "only copy.png").read_bytes() == b"mine"


def test_a_workspace_whose_settings_were_deleted_keeps_all_else(
    service: Service, other: Path
) -> None:
    name = service.start(PICTURE, "elsa", "girl")
    root = service.root / name
    Workspace(root).writing("a job").__enter__()  # leaves the lock file, as any job
    (root / "model").mkdir()
    (root / "model" / "elsa.safetensors").write_bytes(b"hours of training")
    (root / "settings.json").unlink()  # as the message about a damaged one advises
    with pytest.raises(ConflictError, match="another picture"):
        service.start(other, "elsa", "girl", name)
    assert (root / "model" / "elsa.safetensors").read_bytes() == b"hours of training"
    assert service.start(PICTURE, "elsa", "girl") == name
    assert (root / "model" / "elsa.safetensors").read_bytes() == b"hours of training"


def test_a_failed_start_takes_back_only_its_own_folder(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise WorkspaceError("the disk is full")

    monkeypatch.setattr(Workspace, "change_with_origin", full)
    with pytest.raises(WorkspaceError, match="full"):
        service.start(PICTURE, "elsa", "girl")
    assert list(service.root.iterdir()) == []
    (service.root / "anna").mkdir()  # the user's own, still empty
    with pytest.raises(WorkspaceError, match="full"):
        service.start(PICTURE, "anna", "girl")
    assert (service.root / "anna").is_dir() and everything(service.root) == {}


def test_a_mistaken_setting_leaves_nothing_behind(service: Service) -> None:
    with pytest.raises(SingleLoraError, match=r"training\.rank"):
        service.start(PICTURE, "elsa", "girl", values={"training.rank": 0})
    assert list(service.root.iterdir()) == []
    name = service.start(PICTURE, "elsa", "girl", values={"training.rank": 3})
    assert service.settings(name).training.rank == 3


@pytest.mark.parametrize("same_picture", [True, False])
def test_of_many_starts_at_once_none_loses_its_workspace(
    service: Service, tmp_path: Path, same_picture: bool
) -> None:
    pictures = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        if same_picture:
            shutil.copyfile(PICTURE, path)
        else:
            two_colours((300, 300), (number * 30, 30, 30)).save(path)
        pictures.append(path)
    made: dict[int, str] = {}
    gate = threading.Barrier(len(pictures))

    def start(number: int) -> None:
        gate.wait()
        made[number] = service.start(pictures[number], "elsa", "girl")

    threads = [threading.Thread(target=start, args=(number,)) for number in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(pictures)
    assert len(set(made.values())) == (1 if same_picture else len(pictures))
    for number, name in made.items():
        original = service.workspace(name).original()
        assert original is not None and original.read_bytes() == pictures[number].read_bytes()


def test_a_name_that_the_file_system_takes_for_another_is_that_one(
    service: Service, other: Path
) -> None:
    """On Windows and macOS 'Elsa' opens 'elsa'; a link stands for that here."""
    assert service.start(PICTURE, "elsa", "girl") == "elsa"
    (service.root / "elsa" / "model").mkdir()
    (service.root / "elsa" / "model" / "elsa.safetensors").write_bytes(b"trained")
    (service.root / "Elsa").symlink_to(service.root / "elsa")
    with pytest.raises(ConflictError, match="found the character 'elsa'"):
        service.start(other, "Elsa", "girl", "Elsa")
    with pytest.raises(PictureError):
        service.start(service.root / "elsa" / "settings.json", "Elsa", "girl", "Elsa")
    assert (service.root / "elsa" / "model" / "elsa.safetensors").read_bytes() == b"trained"
    assert service.start(other, "Elsa", "girl") == "Elsa 2"


def test_forty_changes_at_once_are_all_there(service: Service) -> None:
    name = service.start(PICTURE, "elsa", "girl")
    words = [f"{letter}{number}" for letter in "abcd" for number in range(10)]
    gate = threading.Barrier(len(words))

    def patch(word: str) -> None:
        gate.wait()
        service.change(name, lambda saved: {"caption.keep": (*saved.caption.keep, word)})

    threads = [threading.Thread(target=patch, args=(word,)) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(service.settings(name).caption.keep) == sorted(words)


def test_changes_of_different_settings_at_once_are_all_there(service: Service) -> None:
    name = service.start(PICTURE, "elsa", "girl")
    wanted = {
        "training.rank": 3,
        "training.epochs": 4,
        "training.repeats": 7,
        "plot.steps": 9,
        "inpaint.count": 2,
        "regularization.count": 11,
        "inpaint.steps": 6,
        "crop.details": 1,
    }
    gate = threading.Barrier(len(wanted))

    def patch(setting: str, value: int) -> None:
        gate.wait()
        service.change(name, {setting: value})

    threads = [threading.Thread(target=patch, args=item) for item in wanted.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saved = service.settings(name)
    assert {setting: saved.get(setting) for setting in wanted} == wanted

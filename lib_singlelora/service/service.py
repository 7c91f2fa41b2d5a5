"""Requests of the page and the HTTP API: workspaces, their settings and files, and jobs on them.

It knows one host and one folder of workspaces, and neither gradio nor HTTP.  The stages are
imported where they are first needed: the WebUI imports this file at every start, and the user
should not wait for torch and what comes with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast

from ..crops.buckets import nearest_bucket
from ..errors import ConflictError, LoraFileError, NotFoundError, SettingsError, TooManyError
from ..files.fileio import is_own_file
from ..files.names import check_name
from ..host import Host
from ..jobs import Job, JobRunner, Progress, Ticket, plain_values
from ..settings.schema import Settings, declaration
from ..workspace.preset_origin import PRESET, USER, PresetOrigin
from ..workspace.training_preset import (
    PresetChoice,
    change_by_form,
    choice_of,
    current,
    followed,
    set_by_hand,
    settle,
    settle_for_job,
)
from ..workspace.workspace import STAGES, Workspace
from .new_workspace import begin

RUN = "run"
WORDS = (RUN, *STAGES)


@dataclass(frozen=True)
class Handover:
    """The trained character for another tab.

    prompt: that of the sheet, by which the LoRA was chosen, with the LoRA's tag in it.
    region_prompt: for the masked part of the picture, with the LoRA's tag in it.
    negative_prompt: that of the sheet.
    picture: the prepared picture.
    mask: white is redrawn.
    size: width and height of the pictures to draw, pixels.
    strength: multiplier of the LoRA.
    """

    prompt: str
    region_prompt: str
    negative_prompt: str
    picture: Path
    mask: Path
    size: tuple[int, int]
    strength: float


class Service:
    """One host, its workspaces, one queue of jobs.

    root: returns the folder of the workspaces; called each time, as a host's settings may change
        it.
    """

    def __init__(self, host: Host, root: Callable[[], Path]) -> None:
        self.host = host
        self.runner = JobRunner()
        self._root = root

    # Workspaces
    # ----------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder of the workspaces."""
        return self._root()

    def names(self) -> list[str]:
        """The names of the workspaces, the last changed first."""
        if not self.root.is_dir():
            return []
        changed: dict[str, int] = {}
        # A version that is being copied has a dot
        for path in self.root.glob("[!.]*/settings.json"):
            # It may be deleted meanwhile; a name that is not Unicode could not be asked for.
            with contextlib.suppress(OSError, UnicodeEncodeError):
                path.parent.name.encode("utf-8")
                changed[path.parent.name] = path.stat().st_mtime_ns
        return sorted(changed, key=lambda name: -changed[name])

    def workspace(self, name: str) -> Workspace:
        """A workspace that exists.  Raises: NotFoundError."""
        names = self.names()
        stored = name if name in names else self._stored_name(check_name(name, "workspace"), names)
        if not stored:
            raise NotFoundError(
                f"workspace {name!r}: found none of this name, expected one of "
                f"{', '.join(names) or 'none yet'}; start it with a picture"
            )
        return Workspace(self.root / stored, create=False)

    def _stored_name(self, name: str, names: Sequence[str]) -> str:
        """The name under which the file system keeps this one, or ''.

        On Windows and macOS 'Elsa' may be 'elsa', and letters may be composed in another way.
        """
        folder = self.root / name
        with contextlib.suppress(OSError):
            if folder.exists():
                return next((other for other in names if (self.root / other).samefile(folder)), "")
        return ""

    def start(
        self,
        picture: Path,
        trigger: str,
        class_token: str,
        name: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> str:
        """Take a picture into a workspace, new or begun with the same picture; its name.

        values: settings by their dotted names.
        Raises: WorkspaceError, PictureError, SettingsError; nothing is left behind then, and
            nothing of others is touched.
        """
        from ..imaging.load import load_picture

        trigger = check_name(trigger, "trigger")
        class_token = check_name(class_token, "class")
        load_picture(picture)
        numbered = (
            trigger if number == 1 else check_name(f"{trigger} {number}", "workspace")
            for number in range(1, 1000)
        )
        names = [check_name(name, "workspace")] if name else numbered
        asked = self.host.asked_preset
        return begin(self.root, names, picture, trigger, class_token, asked, values or {})

    def settings(self, name: str) -> Settings:
        """The settings of a workspace as a job that begins now would use them."""
        return self.settings_and_preset(name)[0]

    def settings_and_preset(self, name: str = "") -> tuple[Settings, PresetChoice]:
        """The same, and whose preset they have; without a name those of a new workspace."""
        if name:
            return current(self.workspace(name), self.host.asked_preset)
        asked = self.host.asked_preset
        settings, origin = followed(Settings.from_dict({}), PresetOrigin(), asked, False)
        return settings, choice_of(settings, origin, asked)

    def preset_of_form(self, name: str, chosen: str) -> PresetChoice:
        """Whose preset a form has.

        name: of its workspace, "" for a new one.
        chosen: the preset that the user chose in it, "" for none.
        Raises: NotFoundError, SettingsError.
        """
        settings, choice = self.settings_and_preset(name)
        if not chosen or (choice.is_named and choice.name == chosen):
            return choice
        settings = settings.with_values({PRESET: chosen})
        return choice_of(settings, PresetOrigin(USER), self.host.asked_preset)

    def set_by_hand(self, name: str) -> dict[str, Any]:
        """The settings of a workspace that were set by hand, also to the preset's own values."""
        settings, origin = self.workspace(name).load_settings_and_origin()
        return origin.kept(settings)

    def change(
        self, name: str, values: Mapping[str, Any] | Callable[[Settings], Mapping[str, Any]]
    ) -> Settings:
        """Change settings of a workspace; a running job goes on with those it began with.

        values: by their dotted names, or a function that returns them from the saved settings.
        Raises: SettingsError, changing nothing.
        """

        def changed(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
            given = dict(values(saved) if callable(values) else values)
            new, origin = set_by_hand(saved, origin, given)
            if new.character.trigger != saved.character.trigger:
                raise ConflictError(
                    f"workspace {name!r}: its trigger is '{saved.character.trigger}' for good;"
                    " start another workspace for another one"
                )
            return new, origin

        return settle(self.workspace(name), self.host.asked_preset, changed)[0]

    def change_by_form(self, name: str, values: Mapping[str, Any], named: bool) -> Settings:
        """Save all fields of a form.

        values: by their dotted names, with the preset that the form is based on.
        named: the user chose that preset; else it is the checkpoint's.
        Raises: SettingsError, changing nothing.
        """

        def changed(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
            return change_by_form(saved, origin, values, named)

        return settle(self.workspace(name), self.host.asked_preset, changed)[0]

    def files(self, name: str) -> list[str]:
        """Every public file of a workspace, relative, with forward slashes.

        `file` returns each of them but settings.json, which `settings` reads.
        """
        root = self.workspace(name).root
        paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in paths if is_public(path))

    def file(self, name: str, relative: str) -> Path:
        """A public file of a workspace.

        Raises: NotFoundError, for one that does not exist, lies outside or is not public.
        """
        root = self.workspace(name).root.resolve()
        # Decided by the text alone: opening \\host\share would already send the user's password
        # hash there.
        if not PureWindowsPath(relative).anchor and not PurePosixPath(relative).anchor:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                path = (root / relative).resolve()
                inside = path.relative_to(root)  # ValueError for one that lies outside
                if path.is_file() and is_public(inside) and inside.name.lower() != "settings.json":
                    return path
        raise NotFoundError(
            f"{relative!r}: found no such file in the workspace {name!r}; ask for the list of its"
            " files"
        )

    def results(self, name: str) -> dict[str, Any]:
        """The contents of a workspace; the keys are part of the HTTP API.

        Among them the state of each stage, and the LoRAs by the names that prompts use.
        """
        from ..curation.regularization import rejections
        from ..library.epochs import epoch_files, published_name
        from ..stages.loopback import lineage_of
        from ..workspace.recommendation import saved_recommendation
        from ..workspace.repeats import left_out

        workspace = self.workspace(name)
        settings, preset = self.settings_and_preset(name)
        records = {stage: workspace.record(stage) for stage in STAGES}

        def pictures(stage: str) -> list[Path]:
            return [
                path
                for path in workspace.files_of(records[stage])
                if path.suffix == ".png" and is_own_file(path) and path.parent.name != "rejected"
            ]

        loras = {
            published_name(workspace, settings, path): str(path)
            for path in epoch_files(workspace, settings).values()
        }
        best = saved_recommendation(workspace)
        sheet = workspace.plots / "sheet.png"
        page = workspace.plots / "sheet.html"
        state = {
            stage: "done" if record.complete else "begun" if record.fingerprint else ""
            for stage, record in records.items()
        }
        if settings.class_unshown() and state["regularize"] != "done":
            state["regularize"] = "skipped"  # 'run' draws none: training would not show them
        return plain_values(
            {
                "workspace": name,
                "training_preset": preset.as_dict(),
                "stages": state,
                "prepared": str(workspace.prepared) if workspace.prepared.exists() else None,
                "mask": str(workspace.mask) if workspace.mask.exists() else None,
                "crops": [str(path) for path in pictures("crop") if path != workspace.coverage],
                "coverage": str(workspace.coverage) if workspace.coverage.exists() else None,
                "crop_notes": list(records["crop"].data.get("notes", ())),
                "train_notes": [
                    *left_out(settings, workspace),
                    *records["train"].data.get("warnings", ()),
                ],
                "rejected": rejections(workspace),
                "regularization": [str(path) for path in pictures("regularize")],
                "loras": loras,
                "sheet": str(sheet) if sheet.exists() else None,
                "page": str(page) if page.exists() else None,
                "inpainted": [
                    str(path) for path in pictures("inpaint") if path.name != "sheet.png"
                ],
                "accepted": [
                    str(path)
                    for path in sorted((workspace.inpaint / "accepted").glob("*.png"))
                    if is_own_file(path)
                ],
                "version": lineage_of(workspace)["version"],
                "generated": [
                    str(path)
                    for path in sorted(workspace.root.glob("generated/*/image/*/*.png"))
                    if is_own_file(path)
                ],
                "inpaint_mask": (
                    str(workspace.inpaint / "mask.png")
                    if (workspace.inpaint / "mask.png").exists()
                    else None
                ),
                "recommendation": (
                    {
                        **asdict(best),
                        "lora": str(best.lora),
                        "name": published_name(workspace, settings, best.lora),
                    }
                    if best
                    else None
                ),
            }
        )

    def handover(self, name: str) -> Handover:
        """The character with the recommended LoRA, else with the last epoch.

        Raises: LoraFileError, when nothing is trained yet; CheckpointError.
        """
        from ..crops.buckets import training_buckets
        from ..imaging.load import picture_size
        from ..library.choose import STRENGTH
        from ..stages.declared_host import with_declared_prediction
        from ..stages.inpaint_canvas import default_mask
        from ..stages.inpaint_prompt import region_prompt
        from ..stages.plot_prompt import main_prompt
        from ..stages.quality_host import quality_of

        workspace = self.workspace(name)
        settings = workspace.load_settings()
        results = self.results(name)
        if not results["loras"]:
            raise LoraFileError(
                f"{name}: found no LoRA, expected a trained one; press Run everything or Run only:"
                " Train"
            )
        best = results["recommendation"]
        lora = best["name"] if best else list(results["loras"])[-1]
        strength = best["strength"] if best else settings.inpaint.strength or STRENGTH
        whole = picture_size(workspace.prepared)
        size = nearest_bucket(whole, training_buckets(settings, self.host))
        mask = default_mask(workspace, workspace.prepared)
        tag = f"<lora:{lora}:{strength:g}>"
        host = with_declared_prediction(self.host, settings.training)
        quality = quality_of(settings.quality, host.checkpoint)
        region = region_prompt(settings, workspace, mask, (0, 0, *whole))
        return Handover(
            prompt=f"{quality.in_prompt(main_prompt(settings, workspace))} {tag}",
            region_prompt=f"{quality.in_prompt(region)} {tag}",
            negative_prompt=quality.in_negative(settings.plot.negative_prompt),
            picture=workspace.prepared,
            mask=mask,
            size=size,
            strength=strength,
        )

    def quality_tags(self, name: str) -> dict[str, Any]:
        """The quality tags with which a workspace's pictures are drawn, and the presets there are.

        Raises: CheckpointError.
        """
        from ..families.quality import quality_presets
        from ..stages.declared_host import with_declared_prediction
        from ..stages.quality_host import quality_of

        settings = self.settings(name)
        host = with_declared_prediction(self.host, settings.training)
        used = quality_of(settings.quality, host.checkpoint)
        return {"used": asdict(used), "presets": [asdict(each) for each in quality_presets()]}

    def memory_budget(self, name: str) -> dict[str, Any]:
        """What training a workspace would need, bytes, without gradient checkpointing and with it.

        Raises: CheckpointError, PresetError.
        """
        from ..crops.buckets import training_resolution
        from ..library.block_presets import known_presets
        from ..stages.memory_budget import advice, budget_rows, layout_of
        from ..training.memory_fit import likely_computer

        settings = self.settings(name)
        layout = layout_of(self.host.checkpoint)
        computer = likely_computer()
        side = training_resolution(settings, self.host)
        presets = known_presets(settings, self.host)
        rows = budget_rows([layout], [side], settings.training, computer, presets)
        return {
            "computer": computer.name,
            "bytes": computer.bytes,
            "rows": [row.as_dict() for row in rows],
            "advice": advice(rows, settings.training, computer),
        }

    def accept(self, name: str, pictures: Sequence[str]) -> list[str]:
        """Keep drawn pictures with a note of what made them; where they lie now, relative.

        pictures: files of the workspace, relative.
        Raises: WorkspaceError, PictureError.
        """
        from ..stages.accept import accept

        workspace = self.workspace(name)
        files = [self.file(name, picture) for picture in pictures]
        kept = accept(workspace.load_settings(), workspace, files)
        return [each.picture.relative_to(workspace.root).as_posix() for each in kept]

    def suggest(self, name: str, picture: Path | None = None, mask: Path | None = None) -> str:
        """The prompt with which `inpaint` draws where none is set.

        Raises: WorkspaceError, PictureError, CheckpointError.
        """
        from ..stages.inpaint import suggested_prompt

        workspace = self.workspace(name)
        return suggested_prompt(workspace.load_settings(), workspace, self.host, picture, mask)

    def next_version(self, name: str) -> str:
        """The name of the workspace that `loopback` makes or adds to."""
        from ..stages.loopback import next_version

        return next_version(self.workspace(name)).name

    # Jobs
    # ----------------------------------------------------------------------------

    def loopback(
        self, name: str, picture: str, repeats: int = 0, start: str = "zero"
    ) -> Ticket[dict[str, Any]]:
        """Queue a job that adds a picture to the next version of the data set.

        picture: a file of the workspace, relative.
        repeats: of the picture's crops; 0 for half of the others'.
        start: "zero", or "last" to go on from the LoRA in use.
        Raises: WorkspaceError, SettingsError, PictureError, LoraFileError, TooManyError; nothing is
            queued then.
        """
        from ..imaging.load import load_picture
        from ..library.choose import choose_lora

        _check_start(start)
        if repeats:
            declaration("training.repeats").check(repeats)
        workspace = self.workspace(name)
        path = self.file(name, picture)
        self.next_version(name)  # raises for a name that would be too long
        load_picture(path)
        if start == "last":
            choose_lora(workspace.load_settings(), workspace)

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..stages.loopback import loopback

            with self.host.exclusive(job):
                self._refuse_deleted(workspace)
                settings = current(workspace, self.host.asked_preset)[0]
                context = StageContext(settings, workspace, self.host, job)
                version = loopback(context, path, repeats=repeats, start=cast(Any, start))
            root = version.workspace
            return {
                "workspace": root.name,
                "version": version.number,
                "generated": [crop.relative_to(root).as_posix() for crop in version.crops],
            }

        return self.runner.submit(f"{name}: loopback", work, workspace.events, self.host.mirror)

    def judged_loopback(
        self, name: str, values: Mapping[str, Any] | None = None, start: str = "zero"
    ) -> Ticket[dict[str, Any]]:
        """Queue a job that draws candidates and trains the next version on those that are kept.

        values: settings to change first, such as loopback.count.
        start: "zero", or "last" to go on from the LoRA in use.
        Raises: WorkspaceError, SettingsError, LoraFileError, TooManyError; nothing is queued then.
        """
        from ..library.choose import choose_lora

        _check_start(start)
        workspace = self.workspace(name)
        self.next_version(name)  # raises for a name that would be too long
        asked = workspace.load_settings().with_values(values or {})
        choose_lora(asked, workspace, asked.loopback.lora)

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..stages.judged_loopback import judged_loopback

            with self.host.exclusive(job):
                self._refuse_deleted(workspace)
                settings = current(workspace, self.host.asked_preset)[0]
                context = StageContext(settings, workspace, self.host, job)
                made = judged_loopback(context, start=cast(Any, start)).as_dict()
            return {**made, "workspace": Path(made["workspace"]).name}

        title = f"{name}: judged loopback"
        return self._changed_and_queued(
            name,
            values,
            lambda: self.runner.submit(title, work, workspace.events, self.host.mirror),
        )

    def submit(
        self,
        name: str,
        word: str = RUN,
        force: bool = False,
        picture: Path | None = None,
        mask: Path | None = None,
        values: Mapping[str, Any] | None = None,
        until: str = "",
    ) -> Ticket[dict[str, Any]]:
        """Queue the whole job ('run') or one stage on a workspace.

        values: settings to change first; they are not changed where the job is refused.
        until: the stage after which the whole job ends; '' for the last.
        Raises: NotFoundError, SettingsError, TooManyError.
        """
        if word not in WORDS:
            raise NotFoundError(
                f"{word!r}: found no such stage, expected one of {', '.join(WORDS)}"
            )
        if until and (word != RUN or until not in STAGES):
            raise SettingsError(
                f"until: found {until!r} of '{word}', expected one of {', '.join(STAGES)} of 'run'"
            )
        workspace = self.workspace(name)

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..stages.pipeline import run_all, run_stage

            with self.host.exclusive(job), self._held(workspace, word):
                settings, preset = settle_for_job(workspace, self.host.asked_preset)
                context = StageContext(
                    settings, workspace, self.host, job, force and not job.resumed
                )
                if word == RUN:
                    result = run_all(context, picture, until)
                else:
                    result = run_stage(word, context, picture, mask)
                return {**result, "training_preset": preset.as_dict()}

        def listen(job: Job, progress: Progress) -> None:
            if not workspace.settings_file.exists():
                raise NotFoundError(
                    f"{workspace.root}: found it deleted while '{job.title}' was running; what was"
                    " trained is lost unless it is in the host's LoRA folder. Start again with the"
                    " picture"
                )
            self.host.mirror(job, progress)

        return self._changed_and_queued(
            name,
            values,
            lambda: self.runner.submit(f"{name}: {word}", work, workspace.events, listen),
        )

    def _changed_and_queued(
        self,
        name: str,
        values: Mapping[str, Any] | None,
        queue: Callable[[], Ticket[dict[str, Any]]],
    ) -> Ticket[dict[str, Any]]:
        """A queued job, before which settings are changed; not where the job is refused."""
        workspace = self.workspace(name)
        before = workspace.settings_text()
        changed = self.change(name, values) if values else None
        try:
            return queue()
        except TooManyError:
            if changed is not None:
                workspace.restore_settings(before, changed)
            raise

    @contextlib.contextmanager
    def _held(self, workspace: Workspace, word: str) -> Iterator[None]:
        """The workspace held for a job.

        Raises: NotFoundError, when it was deleted while the job waited; ConflictError.
        """
        self._refuse_deleted(workspace)
        with workspace.writing(word):
            yield

    def _refuse_deleted(self, workspace: Workspace) -> None:
        if not workspace.settings_file.exists():
            raise NotFoundError(
                f"{workspace.root}: found no workspace, expected it as it was when the job was"
                " queued; it was deleted or moved"
            )

    def cancel(self, number: int) -> bool:
        """Ask a job to stop; False if it has ended already."""
        return self.runner.cancel(number)

    def pause(self, number: int) -> bool:
        """Ask a job to stop so that it can be resumed; False if it has ended already.

        The checkpoint is the host's again meanwhile, and jobs that wait go on.
        """
        return self.runner.cancel(number, pause=True)

    def resume(self, number: int) -> Ticket[dict[str, Any]]:
        """Queue a paused job again, before all that wait.  Raises: ConflictError, TooManyError."""
        ticket = self.runner.resume(number)
        if ticket is None:
            raise ConflictError(
                f"job {number}: found no such paused job, expected one; it was resumed already, or"
                " the program was started anew: press the same button as at first"
            )
        return ticket


def _check_start(start: str) -> None:
    """Raises: SettingsError, for an unknown start of a version's training."""
    if start not in ("zero", "last"):
        raise SettingsError(f"start: found {start!r}, expected 'zero' or 'last'")


def is_public(relative: Path) -> bool:
    """True for a file of a workspace that the page and the API may show.

    Snapshots hold the whole state of a training, names with a dot in front are being written, and
    names that are not Unicode could not be asked for.
    """
    parts = [part.lower() for part in relative.parts]
    hidden = "snapshot" in parts or any(part.startswith(".") for part in parts)
    return not hidden and relative.as_posix().isprintable()


def view_of(ticket: Ticket[Any]) -> dict[str, Any]:
    """A job as plain values for a page or JSON."""
    view = ticket.job.view()
    progress = view.progress
    return {
        "id": ticket.number,
        "title": view.title,
        "state": view.state,
        "stage": progress.stage,
        "done": progress.done,
        "total": progress.total,
        "fraction": progress.fraction,
        "message": progress.message,
        "values": progress.values,
        "pictures": [str(path) for path in progress.pictures],
        "seconds": round(view.seconds, 1),
        "eta": None if view.eta is None else round(view.eta, 1),
        "error": view.error,
    }

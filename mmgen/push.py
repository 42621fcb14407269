"""Saved pipelines and adapters to the Hub: their own files, a card, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.adapter import Adapter, is_adapter
from mmgen.core.card import Card
from mmgen.core.errors import LoadError, MMGenError
from mmgen.core.files import read_json

__all__ = ["HubError", "Upload", "push_to_hub", "what_to_push"]

_MANIFESTS = ("pipeline.json", "adapter.json", "mmgen.json")
_RESULTS = ("pipeline", "adapter")
_README = "README.md"
# What libraries write beside their weights; pickles are not among them.
_OF_LIBRARIES = {".jinja", ".json", ".model", ".safetensors", ".spm", ".txt", ".vocab"}
_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
_TASKS = ("image-to-text", "text-to-audio", "text-to-image", "text-to-video")


class HubError(MMGenError):
    """The Hub cannot be written to."""


@dataclass(frozen=True)
class Upload:
    """What would be uploaded.

    Attributes:
        folder: Where the files lie.
        files: Their names, paths below the folder.
        readme: The card.
    """

    folder: Path
    files: tuple[str, ...]
    readme: str


def push_to_hub(
    source: str | os.PathLike[str],
    repo_id: str,
    *,
    adapter: bool = False,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a saved pipeline or adapter, in one commit, with its card as README.md.

    Checkpoints, logs and pairs of a run stay where they are. The repository is made if it is not
    there. Nothing is asked.

    Args:
        source: A folder that `save_pretrained` or `fit` wrote.
        repo_id: `owner/name`.
        adapter: Of a run, the adapter alone and not the pipeline.
        private: Whether a repository that is made is private.
        revision: Branch to commit to; the main one if None.
        message: Of the commit.
        token: One that may write; the one of `hf auth login` or HF_TOKEN if None.

    Returns:
        Address of the commit.

    Raises:
        LoadError: If there is nothing that was saved by mmgen, or a file is missing or altered.
        HubError: If there is no token, or the Hub cannot be reached or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    found = what_to_push(source, repo_id, adapter=adapter)
    token = token or get_token()
    if not token:
        raise HubError(
            "There is no token to write to the Hub with. Make one that may write in the settings "
            "of your account there, then run `hf auth login`, set HF_TOKEN, or pass token=."
        )
    api = HfApi(token=token)
    added = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=found.folder / name)
        for name in found.files
    ]
    added.append(CommitOperationAdd(path_in_repo=_README, path_or_fileobj=found.readme.encode()))
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        said = message or f"Upload {found.folder.name} with mmgen"
        commit = api.create_commit(repo_id, added, commit_message=said, revision=revision)
    except OfflineModeIsEnabled:
        raise HubError(
            "The Hub is not asked for anything, because HF_HUB_OFFLINE is set. Unset it to upload."
        ) from None
    except HfHubHTTPError as error:
        raise HubError(_refusal(error, repo_id)) from None
    # Failures to connect are of httpx, or in later versions of its successor.
    except (HfHubHTTPError.__bases__[0], OSError) as error:
        raise HubError(f"The Hub could not be reached: {error}. Try again later.") from None
    return commit.commit_url


def what_to_push(source: str | os.PathLike[str], repo_id: str, *, adapter: bool = False) -> Upload:
    """What `push_to_hub` would upload; checked, nothing is sent.

    Raises:
        LoadError: If there is nothing that was saved by mmgen, or a file is missing or altered.
        HubError: If the name is none of a repository.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} is no name of a repository: {error}") from None
    folder = _saved(Path(source), adapter)
    if is_adapter(folder):
        card, base = Adapter.load(folder).card, Adapter.load(folder).base
        files = _of_manifest(folder / "adapter.json")
        return Upload(folder, files, _readme(repo_id, card, base=base))
    if (folder / "pipeline.json").is_file():
        files = _of_manifest(folder / "pipeline.json")
        return Upload(folder, files, _readme(repo_id, hub.read_folder(folder).card))
    about = read_json(folder / "mmgen.json")
    return Upload(folder, _of_library(folder), _readme_of_library(repo_id, about))


def _saved(folder: Path, adapter: bool) -> Path:
    """The folder that was saved: this one, or the result in a run's."""
    if any((folder / name).is_file() for name in _MANIFESTS):
        if adapter and not is_adapter(folder):
            raise LoadError(f"{str(folder)!r} holds a whole pipeline and no adapter alone.")
        return folder
    result = folder / ("adapter" if adapter else "pipeline")
    if any((result / name).is_file() for name in _MANIFESTS):
        return result
    there = [name for name in _RESULTS if (folder / name).is_dir()]
    hint = f" There is {' and '.join(there)} in it." if there else ""
    raise LoadError(
        f"{str(folder)!r} holds no {result.name} that mmgen saved.{hint} Name a folder that "
        "save_pretrained wrote, or that of a run of `mmgen finetune` or `mmgen train` that has "
        "ended."
    )


def _of_manifest(manifest: Path) -> tuple[str, ...]:
    """The files that a manifest lists, which have been checked, and itself."""
    return (*sorted(read_json(manifest)["sha256"]), manifest.name)


def _of_library(folder: Path) -> tuple[str, ...]:
    """The files of a checkpoint of another library."""
    files = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (path.is_file() and path.suffix.lower() not in _OF_LIBRARIES):
            if name != _README:
                raise LoadError(
                    f"{str(path)!r} is no part of a checkpoint: expected files that end in "
                    f"{', '.join(sorted(_OF_LIBRARIES))}, got this. Take it out of the folder."
                )
        elif path.is_file():
            files.append(name)
    return tuple(files)


def _readme(repo_id: str, card: Card | None, *, base: str | None = None) -> str:
    name = repo_id.rpartition("/")[2]
    tags = ["mmgen"]
    head = {"library_name": "mmgen"}
    rows: list[tuple[str, str]] = []
    if card is not None:
        task = f"{card.y}-to-{card.x}".replace(" ", "-")
        tags.append(task)
        head |= {"pipeline_tag": task} if task in _TASKS else {}
        head |= _licence(card.licence)
        rows = [("P(X \\| Y)", f"{card.x} given {card.y}"), ("Family", card.family)]
        rows += [("Parameters", f"{card.parameters:,}"), ("Data", card.data)]
        rows += [("Trained", card.trained), ("Licence", card.licence), ("Limits", card.limits)]
        rows += card.scores.items()
    loaded = f'"{repo_id}"'
    if base is not None:
        # A base that is a folder of this machine says nothing to others.
        known = not Path(base).exists() and not base.startswith((".", "/"))
        rows.append(("Adapter of", base if known else "a pipeline of its owner"))
        if known and base.count("/") == 1:
            head["base_model"] = base
        tags.append("lora")
        loaded += "" if known else ', base="..."'
    summary = card.summary if card is not None else "A pipeline of mmgen."
    return _page(head, tags, name, summary, rows, _use(loaded))


def _readme_of_library(repo_id: str, about: Mapping[str, Any]) -> str:
    library = str(about.get("library") or "mmgen")
    rows = [
        (name.capitalize(), str(about[name]))
        for name in ("distribution", "architecture", "task")
        if about.get(name)
    ]
    learnt = about.get("card")
    if isinstance(learnt, Mapping):
        rows += [(n.capitalize(), str(learnt[n])) for n in ("data", "trained") if learnt.get(n)]
        rows += [(str(what), str(score)) for what, score in learnt.get("scores", {}).items()]
    summary = f"A checkpoint of {library}, fine-tuned with mmgen."
    name = repo_id.rpartition("/")[2]
    return _page({"library_name": library}, ["mmgen"], name, summary, rows, _use(f'"{repo_id}"'))


def _use(arguments: str) -> str:
    return f"from mmgen import Pipeline\n\npipe = Pipeline.from_pretrained({arguments})"


def _licence(text: str) -> dict[str, str]:
    """What the Hub calls a licence, by how it is told."""
    first = text.lower().replace("cc by", "cc-by").split(" for ")[0].strip(" .")
    return {"license": first if first in _LICENCES else "other"}


def _page(
    head: Mapping[str, str],
    tags: list[str],
    name: str,
    summary: str,
    rows: list[tuple[str, str]],
    use: str,
) -> str:
    lines = ["---", *(f"{k}: {v}" for k, v in head.items())]
    lines += ["tags:", *(f"- {tag}" for tag in tags), "---", "", f"# {name}", "", summary, ""]
    told = [(what, _cell(text)) for what, text in rows if text]
    if told:
        lines += ["| | |", "|---|---|", *(f"| {what} | {text} |" for what, text in told), ""]
    return "\n".join([*lines, "```python", use, "```", ""])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _refusal(error: Any, repo_id: str) -> str:
    """What the Hub says, and what to do about it."""
    response = error.response
    status = getattr(response, "status_code", None)
    said = f"The Hub refuses ({status}): {error.server_message or str(error).splitlines()[0]}."
    if status in (401, 403):
        return f"{said} Use a token that may write to {repo_id.partition('/')[0]!r}."
    if status == 404:  # noqa: PLR2004
        return f"{said} Is {repo_id!r} of the form owner/name, and may the token write there?"
    return f"{said} Try again later."

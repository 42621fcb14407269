"""A Hub of a few repositories on this machine, whose connections can break."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import huggingface_hub
import pytest
from hub_programs import knows_programs
from transformers.utils import hub as transformers_hub

__all__ = ["Hub", "files_of", "serving"]

_CODES = {"RepoNotFound": 401, "GatedRepo": 403, "RevisionNotFound": 404, "EntryNotFound": 404}


def files_of(folder: Path) -> dict[str, bytes]:
    """What is in a folder, by its path in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


class Hub(ThreadingHTTPServer):
    """Gives files away as the Hub does, and counts them.

    Args:
        repositories: Files by the names of repositories and by commits, the first of which is that
            of the main branch.
    """

    daemon_threads = True

    def __init__(self, repositories: dict[str, dict[str, dict[str, bytes]]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.tags: dict[str, str] = {}
        self.sent: Counter[str] = Counter()
        """Bytes that were given away, by file."""
        self.asked: list[str] = []
        """Every request."""
        self.cut: dict[str, str] = {}
        """Files whose connection breaks in the middle, and what comes after that: "rest", "nothing"
        but breaking connections, or "refusal"."""
        self.refused: dict[str, str] = {}
        """Repositories that only the token `hf_secret` opens, and what others are told."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(hub: Hub, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Within it, this is the Hub to `huggingface_hub`."""
    constants = huggingface_hub.constants
    knows_programs(patch)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "ENDPOINT", hub.address)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.address)
    # It is made when it is first used, and keeps the address that there was.
    patch.setattr(transformers_hub, "_hf_api", None)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        patch.delenv(proxy, raising=False)
    huggingface_hub.close_session()
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
        huggingface_hub.close_session()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0]).lstrip("/")
        self.server.asked.append(f"{self.command} {path}")
        if path.startswith("api/models/"):
            name, _, rest = path.removeprefix("api/models/").partition("/tree/")
            name, _, revision = name.partition("/revision/")
            commit, _, folder = rest.partition("/")
            if folder:
                self._refuse("EntryNotFound")
            else:
                self._about(name, commit or revision or "main", tree=bool(commit))
            return
        name, _, rest = path.partition("/resolve/")
        if not rest:
            self._answer(200)
            return
        revision, _, file = rest.partition("/")
        commit = self._commit(name, revision)
        if commit is None:
            return
        data = self.server.repositories[name][commit].get(file)
        if data is None:
            self._refuse("EntryNotFound", commit)
        else:
            self._give(f"{name}/{file}", data, commit)

    do_HEAD = do_GET  # noqa: N815

    def _commit(self, name: str, revision: str) -> str | None:
        """The commit that is meant; None if that was refused."""
        commits = self.server.repositories.get(name)
        own = self.headers.get("Authorization") == "Bearer hf_secret"
        if commits is None or (name in self.server.refused and not own):
            self._refuse(self.server.refused.get(name, "RepoNotFound"))
            return None
        commit = self.server.tags.get(revision, revision)
        commit = next(iter(commits)) if commit == "main" else commit
        if commit not in commits:
            self._refuse("RevisionNotFound")
            return None
        return commit

    def _about(self, name: str, revision: str, *, tree: bool) -> None:
        commit = self._commit(name, revision)
        if commit is None:
            return
        files = self.server.repositories[name][commit]
        listed = [
            {"type": "file", "path": file, "size": len(data), "oid": _hash(data)}
            for file, data in files.items()
        ]
        siblings = [{"rfilename": file} for file in files]
        about = {"id": name, "sha": commit, "siblings": siblings, "private": False}
        self._answer(200, json.dumps(listed if tree else about).encode())

    def _give(self, name: str, data: bytes, commit: str) -> None:
        more = {"X-Repo-Commit": commit, "ETag": f'"{_hash(data)}"', "Accept-Ranges": "bytes"}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest, status = data[start:], 206 if start else 200
        if start:
            more["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        breaks = self.server.cut.get(name) if self.command == "GET" else None
        if breaks and self.server.sent[name]:
            if breaks == "refusal":
                self._answer(503)
                return
            if breaks == "nothing":
                self.close_connection = True
                return
        elif breaks:
            more["Content-Length"] = str(len(rest))
            rest = rest[: len(rest) // 2]
            self.close_connection = True
        self._answer(status, rest, more)
        if self.command == "GET":
            self.server.sent[name] += len(rest)

    def _refuse(self, code: str, commit: str | None = None) -> None:
        more = {"X-Error-Code": code} | ({"X-Repo-Commit": commit} if commit else {})
        self._answer(_CODES[code], more=more)

    def _answer(
        self, status: int, body: bytes = b"", more: Mapping[str, Any] | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

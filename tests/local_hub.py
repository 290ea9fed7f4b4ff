"""A small hub on loopback: models, their revisions and their files.

Its answers are those of huggingface.co as far as huggingface_hub asks for them here:
`/api/models/ID/revision/REV?blobs=true` and `/ID/resolve/COMMIT/FILE`.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tests.faulty_http import Answer, Headers, ranged

_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class LocalHub:
    """`revisions`: files by (model, revision). `announced`: sizes that are told in
    place of the true ones. `elsewhere`: where files are redirected to."""

    revisions: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    announced: dict[str, int] = field(default_factory=dict)
    elsewhere: str = ""
    token: str = ""

    def put(self, model: str, files: dict[str, bytes], revision: str = "main") -> None:
        """Under its revision, and under its commit for ever."""
        self.revisions[model, revision] = files
        self.revisions[model, _commit(files)] = files

    def answer(self, method: str, url: str, headers: Headers) -> Answer:
        path = unquote(urlsplit(url).path)
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            code = {"x-error-code": "GatedRepo", "x-error-message": "gated"}
            return 403, code, b"{}"
        if found := _INFO.fullmatch(path):
            return self._info(found[1], found[2] or "main")
        if found := _FILE.fullmatch(path):
            body = self.revisions.get((found[1], found[2]), {}).get(found[3])
            if body is not None:
                if self.elsewhere:
                    return 302, {"location": f"{self.elsewhere}/{found[3]}"}, b""
                return ranged(body, headers, {"etag": f'"{_blob(body)}"'})
        return 404, {"x-error-code": "EntryNotFound"}, b"{}"

    def _info(self, model: str, revision: str) -> Answer:
        files = self.revisions.get((model, revision))
        if files is None:
            known = any(name == model for name, _ in self.revisions)
            code = "RevisionNotFound" if known else "RepoNotFound"
            return 404, {"x-error-code": code}, b"{}"
        siblings = [
            {
                "rfilename": name,
                "size": self.announced.get(name, len(body)),
                "blobId": _blob(body),
                **(
                    {
                        "lfs": {
                            "sha256": _sha256(body),
                            "size": len(body),
                            "pointerSize": 1,
                        }
                    }
                    if name.endswith(".safetensors")
                    else {}
                ),
            }
            for name, body in files.items()
        ]
        told = {"id": model, "sha": _commit(files), "siblings": siblings}
        return 200, {"content-type": "application/json"}, json.dumps(told).encode()


def _blob(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _commit(files: dict[str, bytes]) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()

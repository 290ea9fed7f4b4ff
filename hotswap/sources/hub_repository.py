"""Hub repository: `hf://`, through huggingface_hub.

The library says what a revision is now and where its files lie; they are read as any
other answer of HTTP, so that size and time are bounded. Endpoint and token are the
library's: HF_ENDPOINT, HF_TOKEN, `hf auth login`. All is read at one commit.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented
    build_hf_headers,
    get_session,
)

from hotswap.errors import AdapterRefused
from hotswap.sources.http_stream import http_faults, opened, parts_from
from hotswap.sources.location import Location
from hotswap.sources.remote import Parts, RemoteFile, absent, away, refused_with


def make(patience_s: float, allowed: Sequence[str]) -> "HubRepository":
    return HubRepository(patience_s)


class HubRepository:
    def __init__(self, patience_s: float, endpoint: str | None = None) -> None:
        """`patience_s`: how long no byte may come. `endpoint`: another hub than the
        library's."""
        self._patience_s = patience_s
        self._endpoint = endpoint or constants.ENDPOINT

    def files(self, location: Location) -> Sequence[RemoteFile]:
        inside = f"{location.path}/" if location.path else ""
        found = self._all(location)
        below = [f for name, f in found if name.startswith(inside)]
        mine = [_named(f, f.name[len(inside) :]) for f in below]
        if location.path and not mine:
            raise absent(location, "there is no such folder in it")
        return [file for file in mine if "/" not in file.name]

    def folders(self, location: Location) -> Mapping[str, Sequence[RemoteFile]]:
        inside = f"{location.path}/" if location.path else ""
        folders: dict[str, list[RemoteFile]] = defaultdict(list)
        for name, file in self._all(location):
            folder, slash, below = name[len(inside) :].partition("/")
            if name.startswith(inside) and slash and "/" not in below:
                folders[folder].append(_named(file, below))
        return folders

    def read(self, location: Location, file: RemoteFile, start: int) -> Parts:
        commit, _, path = file.at.partition("/")
        url = hf_hub_url(location.host, path, revision=commit, endpoint=self._endpoint)
        headers = build_hf_headers()
        if start:
            headers["range"] = f"bytes={start}-"
        with (
            _faults(location),
            opened(
                get_session(),
                url,
                location,
                may_follow=self._may_follow,
                headers=headers,
                patience_s=self._patience_s,
            ) as answer,
        ):
            yield from parts_from(answer, location, start)

    def _all(self, location: Location) -> list[tuple[str, RemoteFile]]:
        """Every file of the repository at the commit that is the revision now."""
        with _faults(location):
            info = HfApi(endpoint=self._endpoint).model_info(
                location.host,
                revision=location.revision or None,
                files_metadata=True,
                timeout=self._patience_s,
            )
        if not info.sha or info.siblings is None:
            raise away(location, "the hub does not say what is in it")
        return [
            (
                each.rfilename,
                RemoteFile(
                    name=each.rfilename,
                    size=each.size or 0,
                    etag=each.blob_id or "",
                    sha256=each.lfs.sha256 if each.lfs else "",
                    at=f"{info.sha}/{each.rfilename}",
                ),
            )
            for each in info.siblings
        ]

    def _may_follow(self, url: str) -> bool:
        """Large files lie elsewhere, where the hub says."""
        return url.startswith("https://") or (
            urlsplit(url)[:2] == urlsplit(self._endpoint)[:2]
        )


def _named(file: RemoteFile, name: str) -> RemoteFile:
    return replace(file, name=name)


@contextmanager
def _faults(location: Location) -> Iterator[None]:
    """What the library raises, as ours."""
    try:
        with http_faults(location):
            try:
                yield
            except HfHubHTTPError as error:
                raise refused_with(location, error.response.status_code) from None
    except (AdapterRefused, GeneratorExit):
        raise
    except OfflineModeIsEnabled:
        raise away(location, "HF_HUB_OFFLINE is set") from None
    except HFValidationError:
        raise absent(location, "no repository is called so") from None
    except Exception as error:  # an answer that is none of the hub's
        raise away(location, f"no hub answers ({type(error).__name__})") from None

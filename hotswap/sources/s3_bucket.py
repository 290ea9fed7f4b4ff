"""S3 bucket: `s3://`, through fsspec and s3fs.

Its library runs an event loop of its own on a thread of its own. Credentials, region
and endpoint are botocore's: AWS_... variables, `~/.aws`, the role of the machine.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import fsspec
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError

from hotswap.errors import AdapterRefused
from hotswap.sources.location import Location
from hotswap.sources.remote import (
    Parts,
    RemoteFile,
    absent,
    away,
    changed,
    denied,
    refused_with,
)

_CONNECT_S = 10.0
_PART = 1 << 20


def make(patience_s: float, allowed: Sequence[str]) -> "S3Bucket":
    return S3Bucket(patience_s)


class S3Bucket:
    def __init__(self, patience_s: float) -> None:
        """`patience_s`: how long no byte may come."""
        self._patience_s = patience_s
        self._files = fsspec.filesystem(
            "s3",
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={
                "connect_timeout": min(_CONNECT_S, patience_s),
                "read_timeout": patience_s,
                "retries": {"total_max_attempts": 1},
            },
        )
        self._files.retries = 1  # whoever asks tries again, where that helps

    def files(self, location: Location) -> Sequence[RemoteFile]:
        with _faults(location):
            place = f"{location.host}/{location.path}".rstrip("/")
            rows = self._files.ls(place, detail=True, refresh=True)
        return [_file(row, place) for row in rows if _is_file(row)]

    def folders(self, location: Location) -> Mapping[str, Sequence[RemoteFile]]:
        place = f"{location.host}/{location.path}".rstrip("/")
        found: dict[str, list[RemoteFile]] = defaultdict(list)
        with _faults(location):
            rows = self._files.find(f"{place}/", detail=True)
        for name, row in rows.items():
            folder, slash, below = name[len(place) + 1 :].partition("/")
            if slash and below and "/" not in below and _is_file(row):
                found[folder].append(_file(row, f"{place}/{folder}"))
        return found

    def read(self, location: Location, file: RemoteFile, start: int) -> Parts:
        with _faults(location, file.name):
            got = self._files.call_s3(
                "get_object",
                Bucket=location.host,
                Key=file.at,
                IfMatch=f'"{file.etag}"',
                **({"Range": f"bytes={start}-"} if start else {}),
            )
            body = got["Body"]
            try:
                left = 0 if "ContentRange" in got else start
                while part := self._part(body):
                    skipped, left = part[left:], max(left - len(part), 0)
                    yield skipped
            finally:
                body.close()

    def _part(self, body: Any) -> bytes:
        return bytes(sync(self._files.loop, body.read, _PART, timeout=None))


@contextmanager
def _faults(location: Location, name: str = "the folder") -> Iterator[None]:
    """What the libraries raise, as ours."""
    try:
        yield
    except AdapterRefused:
        raise
    except FileNotFoundError:
        raise absent(location, "there is no such bucket or folder") from None
    except (PermissionError, NoCredentialsError) as error:
        if isinstance(error, NoCredentialsError):
            raise denied(location, "there are no credentials for S3") from None
        raise refused_with(location, 403) from None
    except (FSTimeoutError, TimeoutError):
        raise away(location, "it does not answer") from None
    except (ClientError, OSError, BotoCoreError) as error:
        raise _by_status(error, location, name) from None
    except Exception as error:  # aiohttp's, of a connection that breaks
        raise away(location, f"it breaks off ({type(error).__name__})") from None


def _by_status(error: Exception, location: Location, name: str) -> AdapterRefused:
    """s3fs raises its own in place of botocore's, and keeps that as the cause."""
    for each in (error, error.__cause__):
        if isinstance(each, ClientError):
            status = int(
                each.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            )
            if status in (412, 416):
                return changed(location, name)
            return refused_with(location, status)
    return away(location, f"it breaks off ({type(error).__name__})")


def _is_file(row: Mapping[str, Any]) -> bool:
    return row["type"] == "file" and not row["name"].endswith("/")


def _file(row: Mapping[str, Any], place: str) -> RemoteFile:
    return RemoteFile(
        name=row["name"][len(place) + 1 :],
        size=int(row["size"]),
        etag=str(row["ETag"]).strip('"'),
        at=row["name"].partition("/")[2],
    )

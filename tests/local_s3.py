"""A real S3 API on loopback: moto's server, behind one that can break off.

Its client's environment is set as an operator would.
"""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.faulty_http import Answer, Faulty, Headers

BUCKET = "bucket"
_NOT_FORWARDED = ("host", "connection", "transfer-encoding", "keep-alive")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/EXAMPLEKEY",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class LocalS3(Faulty):
    """`url` is that of the server that can break off."""

    def __init__(self, moto: str) -> None:
        super().__init__(self._forwarded)
        self._moto = urlsplit(moto).netloc
        self.client = boto3.client(
            "s3",
            endpoint_url=moto,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="y",
        )

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        for name, body in files.items():
            self.client.put_object(Bucket=BUCKET, Key=f"{folder}/{name}", Body=body)

    def remove(self, folder: str) -> None:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/")
        for row in found.get("Contents", []):
            self.client.delete_object(Bucket=BUCKET, Key=row["Key"])

    def _forwarded(self, method: str, path: str, headers: Headers) -> Answer:
        connection = http.client.HTTPConnection(self._moto, timeout=20)
        kept = {k: v for k, v in headers.items() if k not in _NOT_FORWARDED}
        connection.request(method, path, headers=kept)
        with connection.getresponse() as answer:
            body = answer.read()
            told = {
                k.lower(): v
                for k, v in answer.getheaders()
                if k.lower() not in _NOT_FORWARDED
            }
        connection.close()
        return answer.status, told, body


@contextmanager
def local_s3() -> Iterator[LocalS3]:
    """With an empty bucket, and the environment that leads to it."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        s3 = LocalS3(f"http://{host}:{port}")
        s3.client.create_bucket(Bucket=BUCKET)
        with pytest.MonkeyPatch.context() as patched, s3.running():
            for name, value in ENVIRONMENT.items():
                patched.setenv(name, value)
            patched.setenv("AWS_ENDPOINT_URL_S3", s3.url)
            yield s3
    finally:
        moto.stop()

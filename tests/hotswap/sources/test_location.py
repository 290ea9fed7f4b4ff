"""URLs, taken apart; what of them may be told; what is allowed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.errors import BadRequest
from hotswap.sources.location import (
    Location,
    check_pattern,
    is_location,
    parse,
    without_secrets,
)

SIGNED = "https://host/a/x.tar.gz?X-Amz-Signature=s3cret&X-Amz-Credential=AKIA"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("s3://bucket/a/b", Location("s3", "bucket", "a/b")),
        ("s3://bucket/a/b/", Location("s3", "bucket", "a/b")),
        ("s3://bucket", Location("s3", "bucket")),
        ("S3://bucket/a", Location("s3", "bucket", "a")),
        ("hf://org/name", Location("hf", "org/name")),
        ("hf://org/name@v1.0", Location("hf", "org/name", revision="v1.0")),
        ("hf://org/name@v1/a/b", Location("hf", "org/name", "a/b", "v1")),
        ("https://Host:8443/a/x.tgz", Location("https", "host:8443", "a/x.tgz")),
    ],
)
def test_a_url_is_taken_apart(url: str, found: Location) -> None:
    assert parse(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/a",
        "http://host/x.tar.gz",
        "file:///etc/passwd",
        "s3://",
        "s3://key:secret@bucket/a",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "s3://bucket/a?versionId=1",
        "s3://Bucket_/a",
        "hf://name",
        "hf://org/name/../x",
        "https://user:password@host/x.tar.gz",
        "https://host/a/%2e%2e/x.tar.gz",
        "https://host/a\\x.tar.gz",
        "https://host/x.zip",
        "https://host/model.bin",
        "https://host/x.tar.gz#a",
        "s3://bucket/a\nb",
        "s3://bucket/" + "a" * 5000,
    ],
)
def test_what_is_no_such_url_is_refused_and_its_field_named(url: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(url)

    assert refused.value.field == "src"
    assert "secret" not in str(refused.value)
    assert "password" not in str(refused.value)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_read_leads_nowhere_but_down(text: str) -> None:
    for scheme in ("s3://", "hf://", "https://"):
        try:
            found = parse(scheme + text)
        except BadRequest:
            continue
        assert ".." not in found.path.split("/")
        assert "@" not in found.host
        assert parse(found.url) == found
        assert found.plain == without_secrets(found.plain)


def test_a_query_goes_to_its_host_and_is_told_to_nobody() -> None:
    found = parse(SIGNED)

    assert found.url == SIGNED
    assert found.plain == "https://host/a/x.tar.gz"
    assert found.name == "x"


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("s3://bucket/prefix/a", "s3://bucket/prefix/*"),
        ("s3://bucket/prefix/a/b", "s3://bucket/prefix/*"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("hf://org/name@v1", "hf://org/*"),
        ("hf://org/name@v1", "hf://org/name"),
        ("hf://org/name@v1", "hf://org/name@v1"),
        ("hf://org/name@v1/a", "hf://org/name/*"),
        (SIGNED, "https://host/*"),
    ],
)
def test_a_pattern_allows_what_it_names(url: str, pattern: str) -> None:
    check_pattern(pattern)

    assert parse(url).is_allowed([pattern])


@pytest.mark.parametrize(
    ("url", "pattern"),
    [
        ("s3://bucket/prefix-2/a", "s3://bucket/prefix/*"),
        ("s3://bucket/prefix", "s3://bucket/prefix/*"),
        ("s3://bucket-2/a", "s3://bucket/*"),
        ("hf://organisation/name", "hf://org/*"),
        ("hf://org/name@v2", "hf://org/name@v1"),
        ("hf://org/name", "hf://org/name@v1"),
        ("https://host.example.com/x.tar.gz", "https://host/*"),
        ("https://host:8443/x.tar.gz", "https://host/*"),
    ],
)
def test_a_pattern_allows_nothing_else(url: str, pattern: str) -> None:
    check_pattern(pattern)

    assert not parse(url).is_allowed([pattern])


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "s3://*",
        "https://*",
        "https://*.host/*",
        "s3://bucket*",
        "/a/*",
        "gs://b/*",
    ],
)
def test_a_pattern_that_could_not_be_meant_is_refused(pattern: str) -> None:
    with pytest.raises(BadRequest, match="names no place"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"for url '{SIGNED}' it", "for url 'https://host/a/x.tar.gz' it"),
        ("s3://key:secret@bucket/a is", "s3://bucket/a is"),
        ("nothing?", "nothing?"),
    ],
)
def test_secrets_are_cut_out_of_texts(text: str, left: str) -> None:
    assert without_secrets(text) == left


def test_a_path_is_no_location() -> None:
    assert not any(map(is_location, ("pirate", "/a/b", "s3:/a", "C:\\x", "file:///x")))

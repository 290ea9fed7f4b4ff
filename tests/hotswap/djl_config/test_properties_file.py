"""A properties file says what Java would read in it; a bad line is named."""

from pathlib import Path
from time import process_time

import javaproperties
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.djl_config.properties_file import MAX_BYTES, parse, read_properties
from hotswap.errors import StartFailed

# What DJL's users write, and what Java makes of it.
LINES = {
    "option.model_id=org/name": {"option.model_id": "org/name"},
    "engine : Python": {"engine": "Python"},
    "engine Python": {"engine": "Python"},
    "  engine=Python": {"engine": "Python"},
    "engine=Python  ": {"engine": "Python"},  # white space behind counts for nobody
    "# engine=MPI\n! engine=MPI\n\nengine=Python": {"engine": "Python"},
    "a=1\\\n   2\\\n3": {"a": "123"},
    "a=1\\\n# no comment": {"a": "1# no comment"},
    "a=1\\\\\nb=2": {"a": "1\\", "b": "2"},
    "a=\\u00e9\\ud83d\\ude42": {"a": "\u00e9\U0001f642"},
    "a=\\ud83d": {"a": "\ufffd"},
    "a\\=b\\ c=d": {"a=b c": "d"},
    "a==b": {"a": "=b"},
    "a": {"a": ""},
    "a=": {"a": ""},
    "a=1\r\nb=2\rc=3": {"a": "1", "b": "2", "c": "3"},
    "a=1\na=2": {"a": "2"},
    "a=${HOME}": {"a": "${HOME}"},
    'a={"b": 1, "c": [2]}': {"a": '{"b": 1, "c": [2]}'},
}
TEXT = st.text(st.sampled_from("abu0\\=: \t\f\n\r#!\u00e9"), max_size=40)


def read(text: str) -> dict[str, str]:
    return {key: entry.text for key, entry in parse(text, "it").items()}


@pytest.mark.parametrize(("text", "found"), LINES.items(), ids=map(repr, LINES))
def test_a_line_is_read_as_java_reads_it(text: str, found: dict[str, str]) -> None:
    assert read(text) == found


@given(TEXT)
def test_any_text_is_read_as_by_another_reader_of_the_format(text: str) -> None:
    try:
        other = javaproperties.loads(text)
    except javaproperties.InvalidUEscapeError:
        with pytest.raises(StartFailed, match=r"line \d+: \\u is not followed"):
            read(text)
    else:
        found = {key: value.rstrip() for key, value in other.items()}
        # A lone backslash at the end is an empty key to Java, nothing to that reader.
        assert {"": ""} | read(text) == {"": ""} | found


def test_letters_are_those_of_latin_1_as_java_takes_them(tmp_path: Path) -> None:
    file = tmp_path / "serving.properties"
    file.write_bytes(b"option.model_id=/caf\xe9")

    assert read_properties(file)["option.model_id"].text == "/caf\u00e9"


def test_an_entry_says_where_it_stands() -> None:
    found = parse("# first\na=1\\\n2\n\nb=\\u0007" + "x" * 500, "f")

    assert found["a"].said == "f line 2: a=12"
    assert found["b"].said.startswith("f line 5: b=\\x07xxx")
    assert len(found["b"].said) < 200


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"a=1\nb=\\u12", "line 2: \\u is not followed by four hexadecimal digits"),
        (b"\\uzzzz=1", "line 1: \\u"),
        (b"\xef\xbb\xbfengine=Python", "line 1: begins with a byte order mark"),
        (b"a" * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
    ],
    ids=["half an escape", "no digits", "a byte order mark", "too long"],
)
def test_a_file_that_is_no_good_is_named_with_its_line(
    content: bytes, named: str, tmp_path: Path
) -> None:
    file = tmp_path / "serving.properties"
    file.write_bytes(content)

    with pytest.raises(StartFailed) as failed:
        read_properties(file)

    assert str(failed.value).startswith(str(file))
    assert named in str(failed.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="Is a directory"):
        read_properties(tmp_path)


def test_the_largest_file_is_read_in_a_moment() -> None:
    """Linear: neither a line of backslashes nor a thousand continued ones is dear."""
    begun_s = process_time()

    for part in ("\\", "a\\\n", "a=b\n", "\\u0041", "=", " "):
        parse(part * (MAX_BYTES // len(part)), "it")

    assert process_time() - begun_s < 5, "half a second, where nothing else runs"

"""Keys, places and ULID times: whatever is accepted builds, parses back and stays inside."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from ulid import ULID

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.executions.ids import (
    execution_time,
    first_execution_id,
    is_execution_id,
    is_execution_id_prefix,
    last_execution_id,
    new_execution_id,
    parse_execution_id,
)
from orchestrator_cli.core.executions.keys import (
    EXECUTIONS_PREFIX,
    LOG_NAMES,
    MAX_KEY_BYTES,
    MAX_LIVE_OFFSET,
    artifact_key,
    execution_prefix,
    history_key,
    invalid_path_reason,
    live_log_path,
    live_prefix,
    live_segment_key,
    live_state_key,
    metadata_key,
    parse_artifact_key,
    parse_execution_prefix,
    parse_live_segment_key,
)
from orchestrator_cli.core.executions.listings.executions import list_execution_ids
from orchestrator_cli.core.executions.placement import log_storage_path, storage_path_for
from tests.support.stored.engine import open_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ID = "01JABCDEFGHJKMNPQRSTVWXYZ0"
LAST_ID = "7" + "Z" * 25
PREFIX_BYTES = len(execution_prefix(ID))

execution_ids = st.binary(min_size=16, max_size=16).map(lambda data: str(ULID.from_bytes(data)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
instants = st.integers(0, (LAST_INSTANT - EPOCH) // timedelta(microseconds=1)).map(
    lambda microseconds: EPOCH + timedelta(microseconds=microseconds)
)
segments = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=30
).filter(lambda segment: segment not in (".", ".."))
heads = st.sampled_from(
    ["logs", "artifacts", "artifacts/custom", "screenshots", "traces", "custom", "live"]
)
tails = st.sampled_from([*LOG_NAMES, "results.json", "coverage.xml", "a.PNG", "a.pcap", "x.txt"])
paths = st.lists(heads | segments | tails, min_size=1, max_size=6).map("/".join)
# Surrogates are what Python makes of file names that are not UTF-8.
anything = st.text(st.characters(exclude_categories=()), max_size=40) | paths


def milliseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


def ulid(at_milliseconds: int, randomness: bytes = b"\x00" * 10) -> str:
    return str(ULID.from_bytes(at_milliseconds.to_bytes(6, "big") + randomness))


# --- keys ------------------------------------------------------------------------------------


@given(execution_ids, paths)
def test_an_accepted_path_parses_back_from_its_key(execution_id: str, path: str) -> None:
    key = artifact_key(execution_id, path)
    assert parse_artifact_key(key) == (execution_id, path)


@given(execution_ids, anything)
@example(ID, "../x")
@example(ID, "logs/../../x")
@example(ID, "/x")
@example(ID, "a//b")
@example(ID, "a/")
@example(ID, "./a")
@example(ID, "a\x9bb")
def test_nothing_escapes_the_prefix_of_its_execution(execution_id: str, path: str) -> None:
    try:
        key = artifact_key(execution_id, path)
    except UsageError:
        return
    assert key.startswith(execution_prefix(execution_id))
    assert posixpath.normpath(key) == key
    assert len(key.encode()) <= MAX_KEY_BYTES
    assert key != metadata_key(execution_id)
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in key)


@given(anything | paths.map(lambda path: f"{execution_prefix(ID)}{path}"))
@example(metadata_key(ID))
@example(execution_prefix(ID))
@example(f"executions/{ID.lower()}/logs/stdout.log")
@example(f"executions/x/{ID}/a")
@example(f"{ID}/logs/stdout.log")
@example(f"{execution_prefix(ID)}a//b")
@example(f"{execution_prefix(ID)}../{ID}/a")
@example(f"{execution_prefix(ID)}a\n")
def test_a_foreign_key_is_no_file(key: str) -> None:
    parsed = parse_artifact_key(key)
    assert parsed is None or artifact_key(*parsed) == key


def test_metadata_is_no_file_and_its_name_is_reserved() -> None:
    assert metadata_key(ID) == f"executions/{ID}/metadata.json"
    assert parse_artifact_key(metadata_key(ID)) is None
    with pytest.raises(UsageError, match="reserved"):
        artifact_key(ID, "metadata.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(paths)
@example("custom/a b+c&d=e?f#g%2f%'()[]*!~$,;:@\\|^`{}<>\".txt")
@example("custom/\u00e9\u20ac\U0001f600/\u2028\ufffe\ud7ff.txt")
def test_the_store_takes_every_accepted_key_as_it_is(s3: S3Client, bucket: str, path: str) -> None:
    key = artifact_key(ID, path)
    store = open_store(bucket)
    store.put_if_absent(key, b"x", "text/plain")
    assert [found.key for found in store.list_objects(execution_prefix(ID))] == [key]
    assert store.get(key).content == b"x"
    s3.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
def test_the_limit_of_a_key_counts_bytes_of_utf8(character: str) -> None:
    room = MAX_KEY_BYTES - PREFIX_BYTES
    width = len(character.encode())
    longest = character * (room // width) + "x" * (room % width)
    assert len(artifact_key(ID, longest).encode()) == MAX_KEY_BYTES
    with pytest.raises(UsageError, match="longer than 1,024 bytes"):
        artifact_key(ID, longest + "x")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty"),
        ("/", "absolute"),
        ("/etc/passwd", "absolute"),
        ("..", "segment"),
        ("a/../b", "segment"),
        ("a/..", "segment"),
        (".", "segment"),
        ("a/./b", "segment"),
        ("a//b", "segment"),
        ("a/", "segment"),
        ("a\nb", "control"),
        ("a\x00b", "control"),
        ("\x1b[31mred", "control"),
        ("a\x7f", "control"),
        ("a\x85b", "control"),
        ("a\x9b31m", "control"),
        ("caf\udce9.log", "not UTF-8"),
    ],
)
def test_a_path_is_refused_with_its_reason(path: str, problem: str) -> None:
    assert problem in str(invalid_path_reason(path))
    for refuse in (storage_path_for, lambda name: artifact_key(ID, name)):
        with pytest.raises(UsageError, match=problem) as raised:
            refuse(path)
        assert raised.value.message.isprintable()
        assert len(raised.value.message) < 400


@pytest.mark.parametrize("path", ["...", "..a", "a..", "a b", "~", "-rf", "a\\..\\b", "%2e%2e/x"])
def test_what_only_looks_dangerous_is_accepted(path: str) -> None:
    assert parse_artifact_key(artifact_key(ID, path)) == (ID, path)


@given(execution_ids)
def test_a_prefix_parses_back(execution_id: str) -> None:
    assert parse_execution_prefix(execution_prefix(execution_id)) == execution_id


@given(anything)
@example("")
@example(f"executions/{ID}")
@example(f"executions/{ID}//")
@example(f"executions/{ID.lower()}/")
@example(f"{ID}/")
@example("executions//")
def test_a_foreign_prefix_is_no_execution(prefix: str) -> None:
    assert parse_execution_prefix(prefix) is None


def test_the_day_of_a_history_key_is_the_utc_day_of_its_ulid() -> None:
    midnight = datetime(2026, 2, 1, tzinfo=UTC)
    before = last_execution_id(midnight - timedelta(milliseconds=1))
    assert history_key(before) == f"history/date=2026-01-31/{before}.json"
    after = first_execution_id(midnight)
    assert history_key(after) == f"history/date=2026-02-01/{after}.json"


# --- execution ids ---------------------------------------------------------------------------


@given(execution_ids)
def test_an_id_is_accepted_in_either_case_and_folded(execution_id: str) -> None:
    assert is_execution_id(execution_id)
    assert parse_execution_id(execution_id.lower()) == execution_id
    assert all(is_execution_id_prefix(execution_id[:end].lower()) for end in range(1, 27))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID[:-1],
        ID + "0",
        "8" + ID[1:],
        *(ID[:-1] + letter for letter in "ILOUilou-_ "),
        ID + "\n",
        " " + ID,
        "٠" * 26,
        ID[:-1] + "\x1b",
        ID[:-1] + "\udcff",
        "@latest",
    ],
)
def test_what_is_no_ulid_is_refused_in_a_line_safe_to_print(text: str) -> None:
    assert not is_execution_id(text.upper())
    with pytest.raises(UsageError, match="not an execution id") as raised:
        parse_execution_id(text)
    assert raised.value.message.isprintable()
    assert "ULID" in str(raised.value.hint)


def test_only_canonical_ids_are_ids() -> None:
    assert not is_execution_id(ID.lower())


@pytest.mark.parametrize("text", ["", "8", "I", "0O", ID + "0", "0\n", "@latest"])
def test_what_starts_no_ulid_is_no_prefix(text: str) -> None:
    assert not is_execution_id_prefix(text)


@given(instants, st.binary(min_size=10, max_size=10))
def test_the_instant_of_an_id_is_its_millisecond(instant: datetime, randomness: bytes) -> None:
    execution_id = new_execution_id(instant, randomness)
    expected = instant.replace(microsecond=instant.microsecond // 1000 * 1000)
    assert execution_time(execution_id) == expected
    assert ULID.from_str(execution_id).bytes[6:] == randomness


@given(instants, instants, st.binary(min_size=10, max_size=10))
def test_ids_sort_as_their_times(one: datetime, other: datetime, randomness: bytes) -> None:
    assume(milliseconds(one) < milliseconds(other))
    assert new_execution_id(one, b"\xff" * 10) < new_execution_id(other, b"\x00" * 10)
    assert first_execution_id(one) <= new_execution_id(one, randomness) <= last_execution_id(one)


def test_instants_that_no_ulid_can_hold_are_clamped() -> None:
    assert first_execution_id(datetime.min.replace(tzinfo=UTC)) == "0" * 26
    assert is_execution_id(last_execution_id(LAST_INSTANT))


def test_an_id_beyond_the_year_9999_has_a_time_a_history_key_and_its_place_in_order() -> None:
    assert execution_time(LAST_ID) == LAST_INSTANT
    assert history_key(LAST_ID) == f"history/date=9999-12-31/{LAST_ID}.json"
    assert parse_artifact_key(artifact_key(LAST_ID, "logs/stdout.log")) is not None
    assert last_execution_id(LAST_INSTANT) < LAST_ID


# --- time windows ----------------------------------------------------------------------------


class Listing:
    """A store of executions: what S3 answers to a listing with StartAfter."""

    def __init__(self, prefixes: list[str]) -> None:
        self._prefixes = sorted(prefixes)

    def list_prefixes(self, prefix: str, start_after: str = "") -> Iterator[str]:
        for item in self._prefixes:
            if item.startswith(prefix) and item > start_after:
                yield item


@st.composite
def windows(draw: st.DrawFn) -> tuple[datetime, datetime, list[str]]:
    since = draw(instants)
    span = draw(st.timedeltas(min_value=timedelta(0), max_value=timedelta(milliseconds=5)))
    until = since + min(span, LAST_INSTANT - since)
    first, last = milliseconds(since), milliseconds(until)
    near = st.integers(max(0, first - 3), last + 3) | st.integers(0, 2**48 - 1)
    edges = st.sampled_from([b"\x00" * 10, b"\xff" * 10]) | st.binary(min_size=10, max_size=10)
    ids = draw(st.lists(st.builds(ulid, near, edges), max_size=8, unique=True))
    return since, until, ids


@given(windows())
def test_a_window_selects_exactly_the_ids_between_two_instants(
    window: tuple[datetime, datetime, list[str]],
) -> None:
    since, until, ids = window
    foreign = ["executions/README/", f"executions/{ID.lower()}/", "executions/!/"]
    store = cast("Any", Listing([*map(execution_prefix, ids), *foreign]))
    selected = list(list_execution_ids(store, since, until, since))

    def time_of(execution_id: str) -> int:
        return int.from_bytes(ULID.from_str(execution_id).bytes[:6], "big")

    first, last = milliseconds(since), milliseconds(until)
    assert selected == sorted(item for item in ids if first <= time_of(item) <= last)


def test_a_window_without_an_end_reaches_every_later_id() -> None:
    store = cast("Any", Listing([execution_prefix("0" * 26), execution_prefix(LAST_ID)]))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert list(list_execution_ids(store, None, None, now)) == ["0" * 26, LAST_ID]
    assert list(list_execution_ids(store, now, None, now)) == [LAST_ID]


def test_a_listing_that_starts_at_an_id_does_not_skip_it() -> None:
    first = first_execution_id(datetime(2026, 1, 1, tzinfo=UTC))
    assert EXECUTIONS_PREFIX + first < execution_prefix(first)


# --- where a file goes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relative", "path"),
    [
        ("runner.log", "logs/runner.log"),
        ("bench.log", "logs/bench.log"),
        ("stdout.log", "logs/stdout.log"),
        ("stderr.log", "logs/stderr.log"),
        ("results.json", "artifacts/results.json"),
        ("coverage.xml", "artifacts/coverage.xml"),
        ("logs/stdout.log", "logs/stdout.log"),
        ("artifacts/results.json", "artifacts/results.json"),
        ("artifacts/screenshots/a.png", "artifacts/screenshots/a.png"),
        ("artifacts/custom/deep/a.bin", "artifacts/custom/deep/a.bin"),
        ("screenshots/a.txt", "artifacts/screenshots/a.txt"),
        ("traces/deep/a.bin", "artifacts/traces/deep/a.bin"),
        ("custom/a.png", "artifacts/custom/a.png"),
        ("a.png", "artifacts/screenshots/a.png"),
        ("deep/A.JPEG", "artifacts/screenshots/deep/A.JPEG"),
        ("video.mp4", "artifacts/screenshots/video.mp4"),
        ("can.blf", "artifacts/traces/can.blf"),
        ("deep/net.pcapng", "artifacts/traces/deep/net.pcapng"),
        ("ui.perfetto-trace", "artifacts/traces/ui.perfetto-trace"),
        ("core.1234", "artifacts/custom/core.1234"),
        # No places of the layout, so they keep their path as anything else does.
        ("other.log", "artifacts/custom/other.log"),
        ("logs/other.log", "artifacts/custom/logs/other.log"),
        ("logs/deep/stdout.log", "artifacts/custom/logs/deep/stdout.log"),
        ("deep/stdout.log", "artifacts/custom/deep/stdout.log"),
        ("deep/results.json", "artifacts/custom/deep/results.json"),
        ("artifacts/a.txt", "artifacts/custom/artifacts/a.txt"),
        ("artifacts/a.png", "artifacts/screenshots/artifacts/a.png"),
        ("STDOUT.LOG", "artifacts/custom/STDOUT.LOG"),
        ("metadata.json", "artifacts/custom/metadata.json"),
        ("logs", "artifacts/custom/logs"),
        ("traces", "artifacts/custom/traces"),
        ("artifacts", "artifacts/custom/artifacts"),
        ("artifacts/traces", "artifacts/custom/artifacts/traces"),
        (".png", "artifacts/custom/.png"),
        ("live/x", "artifacts/custom/live/x"),
    ],
)
def test_a_file_goes_where_its_name_says(relative: str, path: str) -> None:
    assert storage_path_for(relative) == path


@given(paths)
def test_every_file_has_its_place_in_the_layout(relative: str) -> None:
    path = storage_path_for(relative)
    folder, _, rest = path.partition("/")
    assert folder in ("logs", "artifacts")
    assert folder != "logs" or rest in LOG_NAMES
    assert path.endswith(relative.rpartition("/")[2])
    assert parse_artifact_key(artifact_key(ID, path)) == (ID, path)


@given(paths)
def test_a_downloaded_file_goes_back_to_its_place(relative: str) -> None:
    assert storage_path_for(storage_path_for(relative)) == storage_path_for(relative)


@pytest.mark.parametrize("name", ["x", "é"])
def test_a_placed_file_is_refused_only_for_its_length(name: str) -> None:
    path = storage_path_for(name * 1000)
    with pytest.raises(UsageError, match="longer than"):
        artifact_key(ID, path)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("stdout", "logs/stdout.log"),
        ("stdout.log", "logs/stdout.log"),
        ("logs/stdout.log", "logs/stdout.log"),
        ("logs/bench", "logs/bench.log"),
        ("", None),
        ("logs/", None),
        ("other", None),
        ("stdout.log.log", None),
        ("logs/logs/stdout", None),
        ("STDOUT", None),
    ],
)
def test_a_log_is_named_with_or_without_its_directory_and_suffix(
    name: str, path: str | None
) -> None:
    assert log_storage_path(name) == path


@given(
    log=st.sampled_from(LOG_NAMES) | segments.map(lambda name: f"artifacts/custom/{name}"),
    offset=st.integers(0, MAX_LIVE_OFFSET),
)
def test_key_of_live_segment_parses_back_and_sorts_by_offset(log: str, offset: int) -> None:
    key = live_segment_key(ID, log, offset)
    assert parse_live_segment_key(key) == (ID, log, offset)
    assert key.startswith(live_prefix(ID))
    assert len(key.encode()) <= MAX_KEY_BYTES
    assert live_segment_key(ID, log, offset // 2) <= key


@pytest.mark.parametrize(
    "log", ["", "other.log", "logs/stdout.log", "artifacts/", "artifacts/../x", "/etc/passwd"]
)
def test_what_is_no_log_has_no_live_key(log: str) -> None:
    assert live_log_path(log) is None
    with pytest.raises(UsageError):
        live_segment_key(ID, log, 0)


def test_live_keys_that_are_no_segments_are_foreign() -> None:
    foreign = [
        live_state_key(ID),
        live_segment_key(ID, "stdout.log", 0)[:-1],
        live_segment_key(ID, "stdout.log", 0).lower(),
        live_segment_key(ID, "stdout.log", 0).removeprefix("live/"),
        f"{live_prefix(ID)}stdout.log/{0:020d}",
        f"{live_prefix(ID)}logs/artifacts/x/{0:020d}",
        f"{live_prefix(ID)}artifacts/../x/{0:020d}",
    ]
    assert [parse_live_segment_key(key) for key in foreign] == [None] * len(foreign)
    for offset in (-1, MAX_LIVE_OFFSET + 1):
        with pytest.raises(UsageError):
            live_segment_key(ID, "stdout.log", offset)
    with pytest.raises(UsageError):
        live_segment_key(ID, f"artifacts/{'x' * MAX_KEY_BYTES}", 0)

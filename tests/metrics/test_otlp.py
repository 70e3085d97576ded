"""`--metrics-otlp`: what arrives at a receiver, decoded, and one that decides nothing."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
)

from orchestrator_cli.core.base.errors import REASONS
from orchestrator_cli.core.metrics.registry import DURATION, METRICS, SIZE, MetricKind
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import NewUpload, Processes, RunCommand
from tests.support.commands.secrets import check_no_secrets
from tests.support.scene import Scene
from tests.support.servers.certificates import make_certificate
from tests.support.servers.otlp import PROTOBUF, parse_export, rejecting
from tests.support.servers.receiving import Answer, Receiver, receiving
from tests.support.stored.bench_tree import watching_line

SECRET = "correct-horse-battery"
CREATED = {"command": "upload", "outcome": "created"}
SECONDS = "orchestrator_cli.core.metrics.otlp.SEND_SECONDS"


@pytest.fixture
def efs(scene: Scene, raw: Path) -> Path:
    """A mount with one file to sync."""
    (raw / "1.txt").write_text("one")
    return scene.directory / "efs"


# --- what is sent ----------------------------------------------------------------------------


def test_an_upload_arrives_under_the_documented_names(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    before = time.time_ns()
    cli(*new_upload("--metrics-otlp", receiver.url)).ok()
    (pushed,) = receiver.pushed
    assert pushed.path == "/v1/metrics"
    export = parse_export(pushed)
    assert export.resource["service.name"] == "orchestrator"
    assert export.resource["service.instance.id"] == socket.gethostname()
    assert export.resource["service.version"]

    size = export.point("artifact_size_bytes", **CREATED)
    assert tuple(size.explicit_bounds) == SIZE.buckets
    assert list(size.bucket_counts) == [0, 1] + [0] * 14
    assert (size.count, size.sum) == (1, 2000)
    assert (size.min, size.max) == (2000, 2000)
    duration = export.point("artifact_upload_duration", **CREATED)
    assert tuple(duration.explicit_bounds) == DURATION.buckets
    assert (duration.count, sum(duration.bucket_counts)) == (1, 1)
    assert 0 < duration.sum < 300
    assert before < size.start_time_unix_nano < size.time_unix_nano < time.time_ns()

    failures = export.points("artifact_failures_total")
    assert {dict(labels)["reason"] for labels in failures} == set(REASONS.values())
    assert {(point.WhichOneof("value"), point.as_int) for point in failures.values()} == {
        ("as_int", 0)
    }
    assert export.metrics["artifact_failures_total"].sum.is_monotonic


def test_units_are_those_of_the_names(cli: RunCommand, receiver: Receiver, efs: Path) -> None:
    cli("sync-efs", "--root", efs, "--settle", "0s", "--metrics-otlp", receiver.url).ok()
    export = parse_export(receiver.pushed[0])
    kinds = {
        MetricKind.COUNTER: "sum",
        MetricKind.GAUGE: "gauge",
        MetricKind.HISTOGRAM: "histogram",
    }
    known = {metric.name: kinds[metric.kind] for metric in METRICS}
    for name, metric in export.metrics.items():
        assert metric.WhichOneof("data") == known[name]
        assert metric.description
    units = {name: metric.unit for name, metric in export.metrics.items()}
    # A unit that the name lacks would change the name in Prometheus.
    assert units == {
        "artifact_upload_duration": "",
        "artifact_size_bytes": "By",
        "artifact_failures_total": "",
        "efs_sync_backlog_files": "",
        "efs_sync_last_pass_timestamp_seconds": "s",
    }
    assert export.point("efs_sync_last_pass_timestamp_seconds").as_double > 1_700_000_000


def test_each_command_sends_its_own_counts(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    line = new_upload("--metrics-otlp", f"{receiver.url}/v1/metrics")
    cli(*line).ok()
    Path(line[2]).write_text("other")
    cli(*line).expect(6)
    first, second = map(parse_export, receiver.pushed)
    assert receiver.pushed[1].path == "/v1/metrics"
    assert "artifact_size_bytes" not in second.metrics
    conflict = {"command": "upload", "reason": "conflict"}
    assert first.point("artifact_failures_total", **conflict).as_int == 0
    assert second.point("artifact_failures_total", **conflict).as_int == 1
    for export in (first, second):
        temporality = export.metrics["artifact_failures_total"].sum.aggregation_temporality
        assert temporality == AGGREGATION_TEMPORALITY_DELTA
    # Two commands of one machine must be two parts of one series.
    assert first.resource == second.resource


def test_a_run_sends_and_keeps_its_code(forks: ForkServer, bucket: str, receiver: Receiver) -> None:
    line = ("run", "--metrics-otlp", receiver.url, "--", "sh", "-c", "echo out; sleep 1.1; exit 7")
    forks.run(*line).expect(7)
    export = parse_export(receiver.pushed[0])
    # Standard output, standard error and runner.log.
    assert export.point("artifact_size_bytes", command="run", outcome="created").count == 3
    # However long the command took, what it counts was counted now.
    point = export.point("artifact_failures_total", command="run", reason="other")
    assert 0 < point.time_unix_nano - point.start_time_unix_nano < 1_000_000_000


def test_a_watch_sends_what_each_pass_counted(
    forks: ForkServer, receiver: Receiver, efs: Path
) -> None:
    watching = forks.start(*watching_line(efs, "--metrics-otlp", receiver.url))
    receiver.wait_for(3)
    watching.signal(signal.SIGTERM)
    watching.wait(60).expect(0)
    exports = list(map(parse_export, receiver.pushed))
    created = {"command": "sync-efs", "outcome": "created"}
    assert exports[0].point("artifact_size_bytes", **created).count == 1
    assert not any("artifact_size_bytes" in export.metrics for export in exports[1:])
    assert all("efs_sync_backlog_files" in export.metrics for export in exports[:3])


def test_a_watch_can_send_all_since_it_began(
    forks: ForkServer, receiver: Receiver, efs: Path
) -> None:
    env = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative"}
    watching = forks.start(*watching_line(efs, "--metrics-otlp", receiver.url), env=env)
    receiver.wait_for(3)
    watching.signal(signal.SIGTERM)
    watching.wait(60).expect(0)
    created = {"command": "sync-efs", "outcome": "created"}
    points = [parse_export(one).point("artifact_size_bytes", **created) for one in receiver.pushed]
    assert {point.count for point in points} == {1}
    assert len({point.start_time_unix_nano for point in points}) == 1
    last = parse_export(receiver.pushed[-1]).metrics["artifact_size_bytes"]
    assert last.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE


# --- a receiver that is not as it should be --------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Answer(200, {"Content-Type": PROTOBUF}, b"\xff\xff"),
            "answered something that is not OTLP",
        ),
        # As OTLP goes, with a text of 100,000 bytes; what is longer is not read to its end.
        (
            Answer(
                200, {"Content-Type": PROTOBUF}, b"\n\xa4\x8d\x06\x12\xa0\x8d\x06" + b"x" * 10**5
            ),
            "answered something that is not OTLP",
        ),
        (rejecting(1234), "rejected 1,234 values; its log says why"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_takes_nothing_or_a_part_is_a_warning(
    cli: RunCommand,
    new_upload: NewUpload,
    receiver: Receiver,
    answer: Answer,
    words: str,
) -> None:
    receiver.answer = answer
    result = cli(*new_upload("--metrics-otlp", receiver.url)).ok()
    assert f"warning: metrics: the OTLP receiver at {receiver.url}: {words}" in result.err


def test_a_receiver_that_stays_busy_is_left_when_its_time_is_up(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SECONDS, 2.0)
    receiver.answer = Answer(503, {"Retry-After": "1"})
    began = time.monotonic()
    result = cli(*new_upload("--metrics-otlp", receiver.url)).ok()
    assert time.monotonic() - began < 20
    assert "answered 503" in result.err
    assert len(receiver.pushed) > 1


def test_a_busy_receiver_is_asked_again(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    receiver.answers = [Answer(503)]
    assert "warning" not in cli(*new_upload("--metrics-otlp", receiver.url)).ok().err
    assert len(receiver.pushed) == 2
    assert receiver.pushed[0].body == receiver.pushed[1].body


@pytest.mark.parametrize(
    ("answer", "arrivals"), [(Answer(500), 2), (rejecting(1), 1)], ids=["refused", "partly"]
)
def test_a_watch_sends_again_what_was_not_taken(
    forks: ForkServer, receiver: Receiver, efs: Path, answer: Answer, arrivals: int
) -> None:
    receiver.answers = [answer]
    watching = forks.start(*watching_line(efs, "--metrics-otlp", receiver.url))
    receiver.wait_for(4)
    watching.signal(signal.SIGTERM)
    watching.wait(60).expect(0)
    # By the protocol, what was taken in part is not sent again.
    sizes = ["artifact_size_bytes" in parse_export(one).metrics for one in receiver.pushed]
    assert sizes[:4] == [True] * arrivals + [False] * (4 - arrivals)


# --- who is asked, and how -------------------------------------------------------------------


def test_the_standard_variables_say_where_and_who(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    env = {
        "ORCHESTRATOR_UPLOAD_METRICS_OTLP": "env",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{receiver.url}/otlp",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET}",
        "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=bench-7,rack=2",
        "OTEL_SERVICE_NAME": "lab",
    }
    result = cli("-v", *new_upload(), env=env).ok()
    (pushed,) = receiver.pushed
    assert pushed.path == "/otlp/v1/metrics"
    assert pushed.headers["authorization"] == f"Bearer {SECRET}"
    resource = parse_export(pushed).resource
    assert resource["service.name"] == "lab"
    assert resource["service.instance.id"] == "bench-7"
    assert resource["rack"] == "2"
    check_no_secrets(result, SECRET)


def test_the_standard_variables_alone_send_nothing(
    cli: RunCommand, new_upload: NewUpload, receiver: Receiver
) -> None:
    cli(*new_upload(), env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}).ok()
    assert not receiver.pushed


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://bench:{SECRET}@127.0.0.1:1/?key={SECRET}"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"nonsense:{SECRET}"},
        {"OTEL_EXPORTER_OTLP_HEADERS": f"malformed {SECRET}"},
    ],
    ids=["away", "nonsense", "headers"],
)
def test_what_is_wrong_with_the_variables_is_told_without_their_secrets(
    cli_process: Processes, new_upload: NewUpload, env: dict[str, str], closed_port: int
) -> None:
    """As a process: here, pytest would take what the exporter logs."""
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{closed_port}"}
    line = new_upload("--metrics-otlp", "env")
    result = cli_process.run("-v", "--debug", *line, env=away | env).ok()
    assert "warning: metrics: " in result.err
    # What it stores, what it stored, and the warning.
    assert len(result.err.splitlines()) == 3, result.err
    check_no_secrets(result, SECRET)


def test_the_standard_variable_decides_which_ca(
    cli: RunCommand, new_upload: NewUpload, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("tls")
    ours, other = (make_certificate(directory / name) for name in ("ours.pem", "other.pem"))
    with receiving(ours) as receiver:
        env = {"AWS_CA_BUNDLE": str(other), "OTEL_EXPORTER_OTLP_CERTIFICATE": str(ours)}
        assert "warning" not in cli(*new_upload("--metrics-otlp", receiver.url), env=env).ok().err


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.exporter.otlp.proto.http"])
def test_a_missing_extra_is_told_before_anything_is_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    for name in [name for name in sys.modules if name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    before = scene.recorder.count()
    result = scene.cli("upload", "@latest", ".", "--metrics-otlp", "env").expect(2)
    assert "pip install 'orchestrator-cli[otlp]'" in result.err
    assert scene.recorder.count() == before

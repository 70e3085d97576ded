"""Every fault at every request of every command.

Each ends in success with the right content, or in the right exit code with nothing half-done and a
rerun that succeeds. The requests are those of an undisturbed run, found by running it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.commands import (
    CASES,
    Bench,
    Case,
    Run,
    Target,
    check_failure,
    check_success,
    find_targets,
    key_pattern,
)
from tests.support import faults
from tests.support.connection import Exchange
from tests.support.executions import read_record
from tests.support.faults import Fault
from tests.support.forkserver import ForkServer
from tests.support.operations import Request
from tests.support.proxy import Proxy
from tests.support.rules import Rule
from tests.support.running import Result, RunCommand
from tests.support.verifying import VerifyDigests

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Strikes = Callable[[Exchange], bool]


def every(exchange: Exchange) -> bool:
    return True


def has_body(exchange: Exchange) -> bool:
    return exchange.request_bytes > 0


def has_answer_body(exchange: Exchange) -> bool:
    return exchange.response_bytes > 1


def reads_content(exchange: Exchange) -> bool:
    return exchange.operation == "GetObject"


def completes(exchange: Exchange) -> bool:
    return exchange.operation == "CompleteMultipartUpload"


def writes(exchange: Exchange) -> bool:
    return exchange.request.method in ("PUT", "POST")


@pytest.fixture
def bench(recorder: Proxy, s3: S3Client, bucket: str, tmp_path: Path) -> Bench:
    return Bench(recorder, s3, bucket, tmp_path)


@pytest.fixture
def run(cli: RunCommand, recorder: Proxy) -> Run:
    """Run a case in this process, and wait until the proxy is quiet."""

    def run_case(case: Case) -> Result:
        result = cli(*case.arguments, stdin=case.stdin)
        recorder.settle()
        return result

    return run_case


def strike(bench: Bench, case: Case, target: Target, fault: Fault, times: int | None = 1) -> Rule:
    """Harm that request of that case; what S3 would notice of it, the proxy notices."""
    rule = bench.proxy.inject(
        fault,
        target.operation,
        key=key_pattern(target, case),
        part_number=target.part_number,
        nth=target.nth,
        times=times,
    )
    bench.proxy.inject(VerifyDigests(), times=None)
    return rule


# --- faults that pass ------------------------------------------------------------------------

PLAIN_FAULTS: dict[str, Callable[[], Fault]] = {
    "500": faults.internal_error,
    "503": faults.slow_down,
    "408": faults.request_timeout,
    "429": faults.too_many_requests,
    "reset-before": faults.ResetBefore,
    "reset-after": faults.ResetAfter,
}


@dataclass
class EveryFirst(Rule):
    """Strikes every request when it comes for the first time, and lets it pass the second."""

    turns: Counter[tuple[str, str, int | None]] = field(default_factory=Counter)

    def strikes(self, request: Request, chance: Random) -> bool:
        name = request.operation, request.key, request.part_number
        self.turns[name] += 1
        self.struck += self.turns[name] % 2
        return self.turns[name] % 2 == 1


@pytest.mark.parametrize("harm", PLAIN_FAULTS)
@pytest.mark.parametrize("command", CASES)
def test_every_request_fails_once(bench: Bench, run: Run, command: str, harm: str) -> None:
    targets = find_targets(bench, command, run)
    case = CASES[command](bench)
    rule = EveryFirst(PLAIN_FAULTS[harm]())
    bench.proxy.rules.append(rule)
    result = run(case)
    bench.proxy.heal()
    check_success(bench, case, result, harm)
    assert rule.struck >= len(targets)


@pytest.mark.parametrize("command", CASES)
def test_a_slow_link_is_no_fault(bench: Bench, run: Run, command: str) -> None:
    """Throttled bandwidth costs time, and not one request more."""
    requests = len(find_targets(bench, command, run))
    case = CASES[command](bench)
    bench.proxy.clear()
    bench.proxy.inject(faults.Throttle(512 * 1024), times=None)
    result = run(case)
    bench.proxy.heal()
    assert len(bench.proxy.calls()) == requests
    check_success(bench, case, result, "throttled")


@dataclass(frozen=True)
class Harm:
    """A fault after which the client cannot know, or must not believe, what happened."""

    fault: Callable[[], Fault]
    strikes: Strikes = every
    codes: frozenset[int] = frozenset({0})


TREACHEROUS_FAULTS = {
    "reset-inside": Harm(faults.ResetInside, has_body),
    "answer-dropped": Harm(faults.DropAnswer),
    "done-but-500": Harm(lambda: faults.Answer(500, "InternalError", forward=True)),
    "done-but-503": Harm(lambda: faults.Answer(503, "SlowDown", forward=True), writes),
    "answer-truncated": Harm(lambda: faults.TruncateAnswer(1), has_answer_body),
    "answer-truncated-late": Harm(lambda: faults.TruncateAnswer(9000), reads_content),
    "request-corrupted": Harm(lambda: faults.CorruptRequest(3), has_body),
    "error-in-200": Harm(faults.error_in_200, completes),
}


@pytest.mark.parametrize("harm", TREACHEROUS_FAULTS)
@pytest.mark.parametrize("command", CASES)
def test_a_fault_at_each_request_is_survived(
    bench: Bench, run: Run, command: str, harm: str
) -> None:
    """Struck once, the command succeeds by itself."""
    for target in find_targets(bench, command, run, TREACHEROUS_FAULTS[harm].strikes):
        case = CASES[command](bench)
        rule = strike(bench, case, target, TREACHEROUS_FAULTS[harm].fault())
        result = run(case)
        bench.proxy.heal()
        check_success(bench, case, result, f"{harm} at {target}")
        assert rule.struck == 1, target


@pytest.mark.parametrize("offset", [0, 3, 40])
@pytest.mark.parametrize("command", CASES)
def test_a_corrupted_answer_is_never_believed(
    bench: Bench, run: Run, command: str, offset: int
) -> None:
    """A read that was harmed is read again, or the command says so; nothing false is written."""
    for target in find_targets(bench, command, run, reads_content):
        case = CASES[command](bench)
        strike(bench, case, target, faults.CorruptAnswer(offset))
        result = run(case)
        bench.proxy.heal()
        what = f"corrupted at {target}"
        if result.exit_code != 0:
            check_failure(bench, case, result, {7}, what)
            result = run(case)
        check_success(bench, case, result, what)


@pytest.mark.parametrize("command", ["finish", "upload"])
def test_a_record_that_was_read_wrong_is_not_written_back(
    bench: Bench, cli: RunCommand, command: str, tmp_path: Path
) -> None:
    """One bit of metadata.json makes it another valid record, of another suite."""
    execution_id = cli("new", "--suite", "smoke").ok().out.strip()
    key = f"executions/{execution_id}/metadata.json"
    content = bench.s3.get_object(Bucket=bench.bucket, Key=key)["Body"].read()
    fault = faults.CorruptAnswer(content.index(b"smoke") + 1)
    bench.proxy.inject(fault, "GetObject", key="metadata.json$")
    bench.proxy.inject(fault, "GetObject", key="metadata.json$", nth=2)
    if command == "finish":
        cli("finish", execution_id, "--result", "pass").ok()
    else:
        (tmp_path / "refused.txt").write_text("x")
        bench.proxy.inject(faults.access_denied(), "PutObject", key="refused.txt", times=None)
        cli("upload", execution_id, tmp_path / "refused.txt").expect(5)
    record = read_record(bench.s3, bench.bucket, execution_id)
    assert record["test_suite"] == "smoke"
    assert record["status"] == "completed" or record["failures"]


# --- faults that stay ------------------------------------------------------------------------

LASTING_FAULTS = {
    "503": Harm(faults.slow_down, codes=frozenset({9})),
    "reset": Harm(faults.ResetAfter, codes=frozenset({9})),
    "answers-dropped": Harm(faults.DropAnswer, codes=frozenset({9})),
    "denied": Harm(faults.access_denied, codes=frozenset({5})),
    "error-in-200": Harm(faults.error_in_200, completes, frozenset({9})),
    "request-corrupted": Harm(lambda: faults.CorruptRequest(3), has_body, frozenset({7, 9})),
}


UPLOADS = ("upload-small", "upload-large", "stream")


def is_needed(command: str, harm: str, target: Target) -> bool:
    """Say whether the command fails without this request.

    Where unfinished uploads are not listed, nothing can be resumed, and all else goes on;
    `finish` only warns about them. An upload stores its files also where it cannot note before that
    it begins. `logs` asks the record only which log to show first, and the
    heartbeat only what else is being written. The index of a log can be made later.
    """
    if command == "stream" and target.key.startswith("derived/"):
        return False
    if command == "logs" and harm == "denied" and target.key.endswith(".json"):
        return False
    if command in UPLOADS and (target.operation, target.nth) == ("PutObject", 1):
        return not target.key.endswith("metadata.json")
    return target.operation != "ListMultipartUploads"


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("harm", LASTING_FAULTS)
@pytest.mark.parametrize("command", CASES)
def test_a_fault_that_stays_leaves_nothing_half_done(
    bench: Bench, run: Run, command: str, harm: str
) -> None:
    """The command gives up with the right code; once the fault is gone, a rerun succeeds."""
    for target in find_targets(bench, command, run, LASTING_FAULTS[harm].strikes):
        case = CASES[command](bench)
        strike(bench, case, target, LASTING_FAULTS[harm].fault(), times=None)
        if harm == "denied" and target.operation == "HeadObject":
            # The right to look is the right to read, and reading is how the reason is asked for.
            read = replace(target, operation="GetObject", nth=1)
            strike(bench, case, read, LASTING_FAULTS[harm].fault(), times=None)
        result = run(case)
        bench.proxy.heal()
        what = f"{harm} for good at {target}"
        if is_needed(command, harm, target):
            codes = set(LASTING_FAULTS[harm].codes)
            # Where other files of the download were fetched, the code is that of some failures.
            codes |= {3} if command == "download" else set()
            check_failure(bench, case, result, codes, what)
        check_success(bench, case, run(case), f"after {what}")


# --- stalls ----------------------------------------------------------------------------------

STALLS: dict[str, tuple[Callable[[], Fault], Strikes]] = {
    "before": (faults.Stall, every),
    "after": (lambda: faults.Stall(after_server=True), every),
    "inside": (lambda: faults.StallInAnswer(1), reads_content),
}
SHORT_PATIENCE = {"orchestrator_cli.core.s3.connection.session.STALL_TIMEOUT_SECONDS": 1.5}


@pytest.mark.parametrize("moment", STALLS)
@pytest.mark.parametrize("command", CASES)
def test_a_stall_is_given_up_and_tried_again(
    bench: Bench, run: Run, forks: ForkServer, command: str, moment: str
) -> None:
    """The silent connection is left after the stall timeout; all cases wait at the same time."""
    fault, strikes = STALLS[moment]
    running = []
    for target in find_targets(bench, command, run, strikes):
        case = CASES[command](bench)
        if case.execution_id == bench.kept:
            case = own_execution(bench, command)
        rule = strike(bench, case, target, fault())
        child = forks.start(*case.arguments, stdin=case.stdin, constants=SHORT_PATIENCE)
        running.append((target, case, rule, child))
    for target, case, rule, child in running:
        check_success(bench, case, child.wait(), f"stall {moment} {target}")
        assert rule.struck == 1, target


def own_execution(bench: Bench, command: str) -> Case:
    """Return a case that shares its execution with no other: rules tell cases by their keys."""
    bench.kept = ""
    return CASES[command](bench)

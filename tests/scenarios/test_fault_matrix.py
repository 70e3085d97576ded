"""Every fault at every request of every command.

Each ends in success with the right content, or in the right exit code with nothing half-done and a
rerun that succeeds. The requests are those of an undisturbed run, found by running it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from tests.scenarios.commands import (
    CASES,
    Case,
    CommandScene,
    Run,
    Target,
    check_failure,
    check_success,
    find_targets,
    key_pattern,
)
from tests.support.commands.forkserver import ForkServer
from tests.support.commands.running import Result
from tests.support.proxy import faults
from tests.support.proxy.connection import Exchange
from tests.support.proxy.faults import Fault
from tests.support.proxy.operations import Request
from tests.support.proxy.rules import Rule
from tests.support.proxy.verifying import VerifyDigests
from tests.support.scene import Scene

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
def run(scene: Scene) -> Run:
    """Run a case in this process, and wait until the proxy is quiet."""

    def run_case(case: Case) -> Result:
        result = scene.cli(*case.arguments, stdin=case.stdin)
        scene.recorder.settle()
        return result

    return run_case


def strike(
    scene: CommandScene, case: Case, target: Target, fault: Fault, times: int | None = 1
) -> Rule:
    """Harm that request of that case; what S3 would notice of it, the proxy notices."""
    rule = scene.recorder.inject(
        fault,
        target.operation,
        key=key_pattern(target, case),
        part_number=target.part_number,
        nth=target.nth,
        times=times,
    )
    scene.recorder.inject(VerifyDigests(), times=None)
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
def test_every_request_fails_once(scene: CommandScene, run: Run, command: str, harm: str) -> None:
    targets = find_targets(scene, command, run)
    case = CASES[command](scene)
    rule = EveryFirst(PLAIN_FAULTS[harm]())
    scene.recorder.rules.append(rule)
    result = run(case)
    scene.recorder.heal()
    check_success(scene, case, result, harm)
    assert rule.struck >= len(targets)


@pytest.mark.parametrize("command", CASES)
def test_a_slow_link_is_no_fault(scene: CommandScene, run: Run, command: str) -> None:
    """Throttled bandwidth costs time, and not one request more."""
    requests = len(find_targets(scene, command, run))
    case = CASES[command](scene)
    scene.recorder.clear()
    scene.recorder.inject(faults.Throttle(512 * 1024), times=None)
    result = run(case)
    scene.recorder.heal()
    assert len(scene.recorder.calls()) == requests
    check_success(scene, case, result, "throttled")


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
    scene: CommandScene, run: Run, command: str, harm: str
) -> None:
    """Struck once, the command succeeds by itself."""
    for target in find_targets(scene, command, run, TREACHEROUS_FAULTS[harm].strikes):
        case = CASES[command](scene)
        rule = strike(scene, case, target, TREACHEROUS_FAULTS[harm].fault())
        result = run(case)
        scene.recorder.heal()
        check_success(scene, case, result, f"{harm} at {target}")
        assert rule.struck == 1, target


@pytest.mark.parametrize("offset", [0, 3, 40])
@pytest.mark.parametrize("command", CASES)
def test_a_corrupted_answer_is_never_believed(
    scene: CommandScene, run: Run, command: str, offset: int
) -> None:
    """A read that was harmed is read again, or the command says so; nothing false is written."""
    for target in find_targets(scene, command, run, reads_content):
        case = CASES[command](scene)
        strike(scene, case, target, faults.CorruptAnswer(offset))
        result = run(case)
        scene.recorder.heal()
        what = f"corrupted at {target}"
        if result.exit_code != 0:
            check_failure(scene, case, result, {7}, what)
            result = run(case)
        check_success(scene, case, result, what)


@pytest.mark.parametrize("command", ["finish", "upload"])
def test_a_record_that_was_read_wrong_is_not_written_back(
    scene: CommandScene, command: str
) -> None:
    """One bit of metadata.json makes it another valid record, of another suite."""
    execution_id = scene.cli("new", "--suite", "smoke").ok().out.strip()
    key = f"executions/{execution_id}/metadata.json"
    content = scene.s3.get_object(Bucket=scene.bucket, Key=key)["Body"].read()
    fault = faults.CorruptAnswer(content.index(b"smoke") + 1)
    scene.recorder.inject(fault, "GetObject", key="metadata.json$")
    scene.recorder.inject(fault, "GetObject", key="metadata.json$", nth=2)
    if command == "finish":
        scene.cli("finish", execution_id, "--result", "pass").ok()
    else:
        (scene.directory / "refused.txt").write_text("x")
        scene.recorder.inject(faults.access_denied(), "PutObject", key="refused.txt", times=None)
        scene.cli("upload", execution_id, scene.directory / "refused.txt").expect(5)
    record = scene.record(execution_id)
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
    scene: CommandScene, run: Run, command: str, harm: str
) -> None:
    """The command gives up with the right code; once the fault is gone, a rerun succeeds."""
    for target in find_targets(scene, command, run, LASTING_FAULTS[harm].strikes):
        case = CASES[command](scene)
        strike(scene, case, target, LASTING_FAULTS[harm].fault(), times=None)
        if harm == "denied" and target.operation == "HeadObject":
            # The right to look is the right to read, and reading is how the reason is asked for.
            read = replace(target, operation="GetObject", nth=1)
            strike(scene, case, read, LASTING_FAULTS[harm].fault(), times=None)
        result = run(case)
        scene.recorder.heal()
        what = f"{harm} for good at {target}"
        if is_needed(command, harm, target):
            codes = set(LASTING_FAULTS[harm].codes)
            # Where other files of the download were fetched, the code is that of some failures.
            codes |= {3} if command == "download" else set()
            check_failure(scene, case, result, codes, what)
        check_success(scene, case, run(case), f"after {what}")


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
    scene: CommandScene, run: Run, forks: ForkServer, command: str, moment: str
) -> None:
    """The silent connection is left after the stall timeout; all cases wait at the same time."""
    fault, strikes = STALLS[moment]
    running = []
    for target in find_targets(scene, command, run, strikes):
        case = CASES[command](scene)
        if case.execution_id == scene.kept:
            case = own_execution(scene, command)
        rule = strike(scene, case, target, fault())
        child = forks.start(*case.arguments, stdin=case.stdin, constants=SHORT_PATIENCE)
        running.append((target, case, rule, child))
    for target, case, rule, child in running:
        check_success(scene, case, child.wait(), f"stall {moment} {target}")
        assert rule.struck == 1, target


def own_execution(scene: CommandScene, command: str) -> Case:
    """Return a case that shares its execution with no other: rules tell cases by their keys."""
    scene.kept = ""
    return CASES[command](scene)

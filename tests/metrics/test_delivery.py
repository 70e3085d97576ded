"""What a destination has not taken it is offered again, and no destination can fail a command."""

from __future__ import annotations

from pathlib import Path

from orchestrator_cli.cli.metrics_setup import CommandMetrics
from orchestrator_cli.core.base.errors import OrchestratorError, UnavailableError
from orchestrator_cli.core.metrics.delivery import DeliveryQueue, Exporter, PartialSuccess
from orchestrator_cli.core.metrics.recorder import MetricsSnapshot
from orchestrator_cli.core.metrics.registry import RETRIES
from tests.support.stored.samples import parse_samples

SERIES = (RETRIES.name, ("upload", "unavailable"))


def counted(amount: float) -> MetricsSnapshot:
    return MetricsSnapshot(counters={SERIES: amount})


class Destination:
    """Fails with each error in turn, then takes everything."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.offered: list[float] = []

    def take(self, measured: MetricsSnapshot) -> None:
        self.offered.append(measured.counters[SERIES])
        if self._errors:
            raise self._errors.pop(0)


def test_what_was_not_taken_is_offered_again() -> None:
    destination = Destination(UnavailableError("away"), RuntimeError("broken"))
    delivery = Exporter(DeliveryQueue(destination.take).export)
    for amount in (1, 20, 300, 4000):
        delivery.export(counted(amount))
    assert destination.offered == [1, 21, 321, 4000]


def test_what_was_taken_in_part_is_not() -> None:
    destination = Destination(PartialSuccess("some"))
    delivery = Exporter(DeliveryQueue(destination.take).export)
    assert delivery.export(counted(1)) == "some"
    assert delivery.export(counted(20)) is None
    assert destination.offered == [1, 20]


def test_the_same_trouble_is_told_once_until_it_is_over() -> None:
    away, busy = UnavailableError("away"), UnavailableError("busy")
    destination = Destination(away, away, busy)
    delivery = Exporter(destination.take)
    assert [delivery.export(counted(1)) for _ in range(4)] == ["away", None, "busy", None]
    destination = Destination(away)
    delivery.export_or_raise = destination.take
    assert delivery.export(counted(1)) == "away"


def test_what_is_told_has_the_hint_but_not_that_of_a_resuming_upload() -> None:
    final = OrchestratorError("no", hint="do this")
    passing = UnavailableError("away", hint="run the same command again", retryable=True)
    delivery = Exporter(Destination(final, passing).take)
    assert delivery.export(counted(1)) == "no; do this"
    assert delivery.export(counted(1)) == "away"


def test_what_a_library_raises_is_not_repeated() -> None:
    delivery = Exporter(Destination(ValueError("http://user:secret@host")).take)
    assert delivery.export(counted(1)) == "unexpected ValueError"


def test_a_destination_that_fails_takes_nothing_from_another(tmp_path: Path) -> None:
    warnings: list[str] = []
    metrics = CommandMetrics("upload", {}, warnings.append)
    late, early = tmp_path / "late" / "a.prom", tmp_path / "b.prom"
    metrics.to_file(late)
    metrics.to_file(early)
    for _ in range(3):
        metrics.meter.retry(UnavailableError("away"))
        metrics.export()
    late.parent.mkdir()
    metrics.export()
    for file in (late, early):
        series = (RETRIES.name, (("command", "upload"), ("reason", "unavailable")))
        assert parse_samples(file.read_text())[series] == 3
    assert warnings == [f"metrics: cannot write {late}: No such file or directory"]

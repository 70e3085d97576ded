"""Offers of many files in one request, and what becomes of the others where one is refused."""

from __future__ import annotations

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.retry import RetryPolicy
from orchestrator_cli.core.gateway.client.connection import GatewayConnection, ViaSettings
from orchestrator_cli.core.gateway.client.uploads.file_offers import FileOffers
from orchestrator_cli.core.gateway.client.uploads.target import GatewayTarget
from orchestrator_cli.core.s3.operations.request import Operation
from orchestrator_cli.core.s3.types import PutOutcome
from orchestrator_cli.core.transfer.engine import TransferEngine
from tests.support.commands.via import Via
from tests.support.scene import Scene


def test_a_file_that_the_server_refuses_costs_the_others_nothing(scene: Scene, via: Via) -> None:
    execution = scene.put_execution()
    connection = GatewayConnection(ViaSettings(via.url, via.tokens.upload), RetryPolicy())
    target = GatewayTarget(FileOffers(connection, execution))

    def store(name: str) -> Operation[tuple[str, PutOutcome | None]]:
        key = f"executions/{execution}/artifacts/custom/{name}"
        try:
            outcome, _ = yield from target.put_if_absent(key, name.encode(), "text/plain")
        except UsageError:
            return name, None
        return name, outcome

    names = [f"{number}.txt" for number in range(20)]
    with TransferEngine(connection) as engine:
        found = dict(engine.run(map(store, [*names[:10], "../../x", *names[10:]])))
    assert found == {**dict.fromkeys(names, PutOutcome.CREATED), "../../x": None}
    assert len(scene.list_keys(f"executions/{execution}/artifacts/")) == 20
    # All were offered together, and then, as one could not be taken, one by one.
    offers = [line for line in via.server.log if "POST" in line and '/uploads"' in line]
    assert len(offers) <= 3 + len(names)

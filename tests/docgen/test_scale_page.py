"""orchestrator-scale(7) counts the requests that commands really send."""

from __future__ import annotations

from pathlib import Path

from orchestrator_cli.docgen.pages import scale
from tests.support.commands.running import RunCommand
from tests.support.proxy.proxy import Proxy


def test_commands_send_the_requests_that_the_page_counts(
    cli: RunCommand, recorder: Proxy, tmp_path: Path
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(str(number))

    def writes_of(*arguments: str) -> tuple[str, int]:
        recorder.clear()
        printed = cli(*arguments).ok().out.strip()
        recorder.settle()
        return printed, recorder.count("PutObject")

    execution_id, new = writes_of("new")
    _, uploads = writes_of("upload", execution_id, str(tmp_path))
    _, finish = writes_of("finish", execution_id, "--result", "pass")
    told = (scale.NEW_WRITES, 12 + scale.UPLOAD_WRITES, scale.FINISH_WRITES)
    assert (new, uploads, finish) == told

"""One run of the benchmark: what was asked for, with the tools that are there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench.counted.counting import CountingServer
from tests.bench.counted.listing import run_last_hour, run_records
from tests.bench.counted.resuming import run_resume_bench
from tests.bench.fixtures import NEW_ID, Fixtures, make_fixtures
from tests.bench.measuring.comparing import compare
from tests.bench.measuring.peers import BUCKET, OURS, Tools, rclone_options
from tests.bench.measuring.report import as_record, judge
from tests.bench.measuring.workload import Target, Workload
from tests.bench.options import OWN_SERVER, sandbox_sizes_of, settings_of
from tests.bench.servers.certificates import make_certificates
from tests.bench.servers.server import Server, far_server, real_server, sink_server, waiting_server
from tests.bench.workloads.catalog import build_slow_workload, build_workloads
from tests.bench.workloads.commands import Commands
from tests.bench.workloads.limits import measure_limits
from tests.bench.workloads.scale import Scale

Record = dict[str, Any]

_RESUME_TOOLS = (OURS, "s5cmd", "aws")


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is measured, on which files."""

    options: argparse.Namespace
    tools: Tools
    home: Path
    files: Fixtures

    def measure(self) -> Iterator[Record]:
        """Yield each workload's results. Raises CommandFailed where this tool fails."""
        make_certificates(self.home, self.options.rsa)
        if self.options.scale:
            yield from self._measure_scale()
            return
        if "limits" in self.options.only:
            yield measure_limits()
        if set(self.options.only) - set(OWN_SERVER):
            with self._server() as server:
                yield from self._measure_alike(server)
        if self.options.real and set(self.options.only) & set(OWN_SERVER):
            print(f"left out: {', '.join(OWN_SERVER)}: they have servers of their own")
            return
        own: dict[str, Callable[[], Record]] = {
            "download-moto": self._measure_sandbox,
            "resume": self._measure_resume,
            "ls": self._measure_last_hour,
            "ls-records": self._measure_records,
        }
        for name, measure in own.items():
            if name in self.options.only:
                yield measure()

    def _server(self) -> AbstractContextManager[Server]:
        if self.options.real:
            return real_server(self.files)
        settings = settings_of(self.options)
        return sink_server(self.home, self.files, settings, self.options.latency_ms)

    def _measure_alike(self, server: Server) -> Iterator[Record]:
        where = server.endpoint_url, server.ca_file
        for workload in build_workloads(self.tools, self.files, *where, self.home):
            if workload.name in self.options.only:
                yield self._compare(workload, server)
        if "slow-upload" in self.options.only and not self.options.real:
            for answer_ms in self.options.answer_ms:
                with waiting_server(self.home, answer_ms) as slow:
                    yield self._compare(build_slow_workload(self.tools, self.files, slow), slow)

    def _compare(self, workload: Workload, server: Server) -> Record:
        environment = self._environment() | server.environment
        figures = compare(workload, environment, self.options.repeat, server.forget)
        latency_ms = self.options.latency_ms
        targets = [one for one in workload.targets if one.latency_ms == latency_ms]
        verdicts = [] if self.options.real else [judge(target, figures) for target in targets]
        return as_record(workload.name, workload.says, server.name, figures, verdicts)

    def _measure_scale(self) -> Iterator[Record]:
        scale = Scale(self.files, quick=self.options.quick)
        with self._server() as server:
            environment = self._environment() | server.environment
            make = Commands(self.tools, rclone_options(server.endpoint_url, server.ca_file))
            for measure in (scale.small_files, scale.large_files, scale.most_files):
                yield measure(make, environment, self.options.repeat, server)

    def _measure_resume(self) -> Record:
        with run_resume_bench(self.home, self.files.large) as bench, self._far(bench.server) as far:
            make = Commands(self.tools, rclone_options(far.endpoint_url, far.ca_file))
            commands = make.copy(self.files.large, NEW_ID)
            chosen = {name: line for name, line in commands.items() if name in _RESUME_TOOLS}
            environment = self._environment() | far.environment
            return bench.measure(chosen, environment, self.options.repeat, far.name)

    def _measure_last_hour(self) -> Record:
        with (
            run_last_hour(self.home, self.tools, self.options.executions) as (server, workload),
            self._far(server) as far,
        ):
            return self._compare(workload, far)

    def _measure_records(self) -> Record:
        with (
            run_records(self.home, self.tools, self.options.records) as (server, workload),
            self._far(server) as far,
        ):
            return self._compare(workload, far)

    def _measure_sandbox(self) -> Record:
        home = self.home / "sandbox"
        home.mkdir()
        files = make_fixtures(home, sandbox_sizes_of(self.options))
        with real_server(files) as server:
            workloads = build_workloads(self.tools, files, server.endpoint_url, None, home)
            (found,) = [one for one in workloads if one.name == "download-large"]
            workload = replace(
                found,
                name="download-moto",
                says=f"download one file of {self.options.sandbox_mb} MB from the sandbox",
                targets=(Target("wall_seconds", "s5cmd", 1.0),),
            )
            return self._compare(workload, server)

    def _far(self, server: CountingServer) -> AbstractContextManager[Server]:
        ca_file = self.home / "ca.pem"
        latency = self.options.latency_ms
        return far_server("counting server", "", server.endpoint_url, ca_file, latency)

    def _environment(self) -> dict[str, str]:
        """Return an environment in which nothing of this machine's leads a tool elsewhere."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ORCHESTRATOR_BUCKET": BUCKET,
            "NO_PROXY": "localhost,127.0.0.1",
        }

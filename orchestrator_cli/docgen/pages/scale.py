"""orchestrator-scale(7): the text of scale.md with numbers computed from the code."""

from __future__ import annotations

from orchestrator_cli.cli.waiting_notice import LATER_SECONDS
from orchestrator_cli.core.base.quantities import MIB
from orchestrator_cli.core.base.retry import PATIENCE_SECONDS
from orchestrator_cli.core.http.transport import STALL_TIMEOUT_SECONDS
from orchestrator_cli.core.live.reading import follower
from orchestrator_cli.core.live.schedule import INTERVALS_SECONDS, describe_intervals
from orchestrator_cli.core.live.state import HEARTBEAT_SECONDS
from orchestrator_cli.core.retention import prices
from orchestrator_cli.core.s3.operations.listing import PAGE_KEYS
from orchestrator_cli.core.s3.operations.request import (
    COMPLETION_SECONDS,
    SMALL_RESPONSE_SECONDS,
    STATUS_SECONDS,
)
from orchestrator_cli.core.s3.part_plan import BASE_PART_BYTES
from orchestrator_cli.docgen.manpages import SCALE_PAGE
from orchestrator_cli.docgen.pages.template import render_manpage

# The request rates that S3 supports per prefix: docs.aws.amazon.com, "Optimizing Amazon S3
# performance".
WRITES_A_SECOND = 3500
READS_A_SECOND = 5500

# The writes of each command apart from those of the files. A test counts them.
NEW_WRITES = 1
FINISH_WRITES = 2
# `upload` records its beginning and its end.
UPLOAD_WRITES = 2
# CreateMultipartUpload and CompleteMultipartUpload.
LARGE_WRITES = 2

_FILES = 100
_BENCHES = 500
_TEST_MINUTES = 10
_DAY_SECONDS = 86_400
_HOUR_SECONDS = 3600
_LIVE_INTERVAL_SECONDS = INTERVALS_SECONDS[-1][1]
# Standard output and standard error.
_LIVE_WRITES_A_SECOND = 2 / _LIVE_INTERVAL_SECONDS

# The requests of whoever follows a log, for each look at it: where it is quiet or written seldom,
# and where each look finds a segment. A test counts them.
READS_A_LOOK = 1.0
READS_A_LOOK_AT_EVERY_SEGMENT = 1.5
# A look for the final log, and one for the heartbeat.
READS_WITHOUT_NEWS = 2


def render_scale_page(version: str) -> str:
    """Return the page."""
    return render_manpage(SCALE_PAGE, "scale.md", _values(), version)


def _values() -> dict[str, str]:
    writes = NEW_WRITES + _FILES + UPLOAD_WRITES + FINISH_WRITES
    a_second = WRITES_A_SECOND / writes
    _, region = prices.retrieval_prices(prices.REFERENCE_REGION)
    dollars = float(region.put_per_1000) * writes / 1000
    return {
        **_live_costs(region),
        "base_mib": str(BASE_PART_BYTES // MIB),
        "benches": f"{_BENCHES:,}",
        "burst": f"{_BENCHES * writes:,}",
        "burst_seconds": f"{_BENCHES * writes / WRITES_A_SECOND:.0f}",
        "completion_seconds": f"{COMPLETION_SECONDS:.0f}",
        "day_dollars": f"{dollars * 10_000:.2f}",
        "execution_dollars": f"{dollars:.5f}",
        "execution_writes": str(writes),
        "executions_a_day": f"{a_second * _DAY_SECONDS:,.0f}",
        "executions_a_second": f"{a_second:.0f}",
        "files": str(_FILES),
        "finish_writes": str(FINISH_WRITES),
        "large_writes": str(LARGE_WRITES),
        "live_interval": f"{_LIVE_INTERVAL_SECONDS:g}",
        "live_schedule": describe_intervals(),
        "minutes": str(_TEST_MINUTES),
        "month_days": str(prices.DAYS_PER_MONTH),
        "new_writes": str(NEW_WRITES),
        "page_keys": f"{PAGE_KEYS:,}",
        "patience": f"{PATIENCE_SECONDS / 60:g} minutes",
        "prices_date": prices.aws_prices().date,
        "put_per_1000": f"{region.put_per_1000:.3f}",
        "reads_a_second": f"{READS_A_SECOND:,}",
        "region": prices.REFERENCE_REGION,
        "small_seconds": f"{SMALL_RESPONSE_SECONDS:.0f}",
        "notice_seconds": f"{LATER_SECONDS:.0f}",
        "stall_seconds": str(STALL_TIMEOUT_SECONDS),
        "status_seconds": f"{STATUS_SECONDS:.0f}",
        "shares": _shares(writes),
        "upload_writes": str(UPLOAD_WRITES),
        "writes_a_second": f"{WRITES_A_SECOND:,}",
    }


def _live_costs(region: prices.RegionPrices) -> dict[str, str]:
    """Return what writing and following one log costs, in dollars."""
    write, read = float(region.put_per_1000) / 1000, float(region.get_per_1000) / 1000
    month_seconds = prices.DAYS_PER_MONTH * _DAY_SECONDS
    hours = [
        f"{_HOUR_SECONDS / interval * write:.3g} an hour at {interval:g} s"
        for _, interval in INTERVALS_SECONDS
    ]
    fast = _HOUR_SECONDS / follower.FASTEST_SECONDS
    quiet = _HOUR_SECONDS / follower.SLOWEST_SECONDS
    news = READS_WITHOUT_NEWS * _HOUR_SECONDS / follower.LOOK_SECONDS
    return {
        "fast_reader_hour": f"{fast * READS_A_LOOK_AT_EVERY_SEGMENT * read:.4f}",
        "heartbeat_month": f"{month_seconds / HEARTBEAT_SECONDS * write:.2f}",
        "live_first_hour": f"{_segments_of_first_hour() * write:.4f}",
        "live_hours": ", $".join(hours),
        "live_month": f"{month_seconds / _LIVE_INTERVAL_SECONDS * write:.2f}",
        "quiet_reader_hour": f"{(quiet * READS_A_LOOK + news) * read:.4f}",
        "reader_hour": f"{fast * READS_A_LOOK * read:.4f}",
    }


def _segments_of_first_hour() -> float:
    segments, since = 0.0, 0.0
    for until, interval in INTERVALS_SECONDS:
        end = min(until, _HOUR_SECONDS)
        segments += (end - since) / interval
        since = end
    return segments


def _shares(writes: int) -> str:
    head = f"{'benches':>12}{'tests a day':>14}{'of the writes':>16}{'with live logs':>17}"
    return "\n".join([head, *(_share_line(benches, writes) for benches in (10, 100, 500, 2000))])


def _share_line(benches: int, writes: int) -> str:
    """Return which fraction of the write rate of one prefix benches take that test all day."""
    tests_a_second = benches / (_TEST_MINUTES * 60)
    stored = tests_a_second * writes / WRITES_A_SECOND
    live = stored + benches * _LIVE_WRITES_A_SECOND / WRITES_A_SECOND
    tests_a_day = f"{tests_a_second * _DAY_SECONDS:,.0f}"
    return f"{benches:>12,}{tests_a_day:>14}{stored:>16.1%}{live:>17.1%}"

"""The table of probes, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_cli.core.executions import keys
from orchestrator_cli.core.executions.doctor import access, guarantees
from orchestrator_cli.core.executions.doctor.checker import Probe, ProbeResult
from orchestrator_cli.core.executions.doctor.demands import read_demands, read_payer
from orchestrator_cli.core.executions.doctor.scratch import Scratch

_LIST, _WRITE, _READ = "list objects", "write files", "read files"
_DELETE, _ABORT = "delete scratch objects", "abort uploads"
_STORED = (_LIST, _DELETE, _WRITE)
_READ_BACK = (*_STORED, _READ)
_IN_PARTS = (*_READ_BACK, _ABORT)
_PUT, _GET = "s3:PutObject", "s3:GetObject"
_FILES = f"{keys.EXECUTIONS_PREFIX}*"


def _area(
    name: str, prefix: str, key: Callable[[str], str], read_needs: tuple[str, ...] = ()
) -> tuple[Probe, Probe]:
    """Return the probes that write and read below a prefix; `key` takes an execution id."""

    def write(scratch: Scratch) -> ProbeResult:
        return access.write_object(scratch, key(scratch.execution_id))

    def read(scratch: Scratch) -> ProbeResult:
        return access.read_object(scratch, key(scratch.execution_id))

    everything = f"{prefix}*"
    return (
        Probe(f"write {name}", write, _PUT, everything),
        Probe(f"read {name}", read, _GET, everything, read_needs),
    )


PROBES: tuple[Probe, ...] = (
    Probe("credentials", access.check_credentials),
    Probe(_LIST, access.list_executions, "s3:ListBucket", required=True),
    Probe("clock", access.check_clock),
    Probe(_DELETE, access.delete_scratch),
    Probe(_WRITE, access.write_file, _PUT, _FILES),
    Probe(_READ, lambda one: access.read_object(one, one.key("written")), _GET, _FILES),
    # Only who writes the history compares what is there.
    *_area("history", keys.HISTORY_PREFIX, keys.history_key, read_needs=("write history",)),
    *_area("live logs", keys.LIVE_PREFIX, lambda one: f"{keys.live_prefix(one)}logs/doctor"),
    *_area("heartbeats", keys.LIVE_PREFIX, keys.live_state_key),
    *_area("derived objects", keys.DERIVED_PREFIX, lambda one: f"{keys.derived_prefix(one)}doctor"),
    Probe(
        _ABORT,
        access.abort_upload,
        "s3:AbortMultipartUpload",
        _FILES,
        touches="all commands work, but parts of uploads that are given up stay and cost",
    ),
    Probe("create-only put", guarantees.put_twice, _PUT, _FILES, _READ_BACK),
    Probe("compare-and-swap", guarantees.swap_twice, _PUT, _FILES, _READ_BACK),
    Probe("SHA-256 verified on arrival", guarantees.put_wrong_sha256, _PUT, _FILES, _STORED),
    Probe("Content-MD5 verified on arrival", guarantees.put_wrong_md5, _PUT, _FILES, _STORED),
    Probe("unfinished uploads listed", guarantees.find_upload, "s3:ListBucketMultipartUploads"),
    Probe(
        "part checksums listed",
        guarantees.find_part,
        "s3:ListMultipartUploadParts",
        _FILES,
        touches="only interrupted uploads of large files cannot be resumed",
    ),
    Probe("create-only complete", guarantees.complete_twice, _PUT, _FILES, _IN_PARTS),
    Probe("checksum of multipart objects", guarantees.read_composite, _PUT, _FILES, _IN_PARTS),
    Probe("presigned range", guarantees.fetch_range, _GET, _FILES, _READ_BACK),
    Probe("signatures verified", guarantees.fetch_tampered, _GET, _FILES, _READ_BACK),
    Probe("encryption", access.read_encryption),
    Probe("versioning", access.read_versioning),
    Probe("policy", read_demands),
    Probe("requests are paid by", read_payer),
)

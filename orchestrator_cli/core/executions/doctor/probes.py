"""The table of probes, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_cli.core.executions.doctor.access import (
    abort_upload,
    check_clock,
    check_credentials,
    delete_scratch,
    list_executions,
    read_encryption,
    read_object,
    read_versioning,
    write_file,
    write_object,
)
from orchestrator_cli.core.executions.doctor.checker import Probe, ProbeResult
from orchestrator_cli.core.executions.doctor.demands import read_demands, read_payer
from orchestrator_cli.core.executions.doctor.guarantees import (
    complete_twice,
    fetch_range,
    fetch_tampered,
    find_part,
    find_upload,
    put_twice,
    put_wrong_md5,
    put_wrong_sha256,
    read_composite,
    swap_twice,
)
from orchestrator_cli.core.executions.doctor.scratch import Scratch
from orchestrator_cli.core.executions.keys import (
    DERIVED_PREFIX,
    EXECUTIONS_PREFIX,
    HISTORY_PREFIX,
    LIVE_PREFIX,
    derived_prefix,
    history_key,
    live_prefix,
    live_state_key,
)

_LIST, _WRITE, _READ = "list objects", "write files", "read files"
_DELETE, _ABORT = "delete scratch objects", "abort uploads"
_STORED = (_LIST, _DELETE, _WRITE)
_READ_BACK = (*_STORED, _READ)
_IN_PARTS = (*_READ_BACK, _ABORT)
_PUT, _GET = "s3:PutObject", "s3:GetObject"
_FILES = f"{EXECUTIONS_PREFIX}*"


def _area(
    name: str, prefix: str, key: Callable[[str], str], read_needs: tuple[str, ...] = ()
) -> tuple[Probe, Probe]:
    """Return the probes that write and read below a prefix; `key` takes an execution id."""

    def write(scratch: Scratch) -> ProbeResult:
        return write_object(scratch, key(scratch.execution_id))

    def read(scratch: Scratch) -> ProbeResult:
        return read_object(scratch, key(scratch.execution_id))

    everything = f"{prefix}*"
    return (
        Probe(f"write {name}", write, _PUT, everything),
        Probe(f"read {name}", read, _GET, everything, read_needs),
    )


PROBES: tuple[Probe, ...] = (
    Probe("credentials", check_credentials),
    Probe(_LIST, list_executions, "s3:ListBucket", required=True),
    Probe("clock", check_clock),
    Probe(_DELETE, delete_scratch),
    Probe(_WRITE, write_file, _PUT, _FILES),
    Probe(_READ, lambda one: read_object(one, one.key("written")), _GET, _FILES),
    # Only who writes the history compares what is there.
    *_area("history", HISTORY_PREFIX, history_key, read_needs=("write history",)),
    *_area("live logs", LIVE_PREFIX, lambda one: f"{live_prefix(one)}logs/doctor"),
    *_area("heartbeats", LIVE_PREFIX, live_state_key),
    *_area("derived objects", DERIVED_PREFIX, lambda one: f"{derived_prefix(one)}doctor"),
    Probe(
        _ABORT,
        abort_upload,
        "s3:AbortMultipartUpload",
        _FILES,
        touches="all commands work, but parts of uploads that are given up stay and cost",
    ),
    Probe("create-only put", put_twice, _PUT, _FILES, _READ_BACK),
    Probe("compare-and-swap", swap_twice, _PUT, _FILES, _READ_BACK),
    Probe("SHA-256 verified on arrival", put_wrong_sha256, _PUT, _FILES, _STORED),
    Probe("Content-MD5 verified on arrival", put_wrong_md5, _PUT, _FILES, _STORED),
    Probe("unfinished uploads listed", find_upload, "s3:ListBucketMultipartUploads"),
    Probe(
        "part checksums listed",
        find_part,
        "s3:ListMultipartUploadParts",
        _FILES,
        touches="only interrupted uploads of large files cannot be resumed",
    ),
    Probe("create-only complete", complete_twice, _PUT, _FILES, _IN_PARTS),
    Probe("checksum of multipart objects", read_composite, _PUT, _FILES, _IN_PARTS),
    Probe("presigned range", fetch_range, _GET, _FILES, _READ_BACK),
    Probe("signatures verified", fetch_tampered, _GET, _FILES, _READ_BACK),
    Probe("encryption", read_encryption),
    Probe("versioning", read_versioning),
    Probe("policy", read_demands),
    Probe("requests are paid by", read_payer),
)

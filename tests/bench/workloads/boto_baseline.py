"""The baseline: boto3's own `upload_file`, sixteen at a time. Usage: PATH PREFIX classic|crt."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config


def main() -> None:
    """Upload a file, or every file below a directory."""
    root, prefix = Path(sys.argv[1]), sys.argv[2]
    client = boto3.client("s3", config=Config(max_pool_connections=32))
    config = TransferConfig(preferred_transfer_client=sys.argv[3])
    files = [root] if root.is_file() else [path for path in root.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(1 if root.is_file() else 16) as executor:
        for done in [
            executor.submit(
                client.upload_file,
                str(file),
                "bench",
                prefix + str(file.relative_to(root.parent)),
                Config=config,
            )
            for file in files
        ]:
            done.result()


if __name__ == "__main__":
    main()

"""Find the IAM action that a request needs, which a policy must allow.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

from collections.abc import Collection

# By method and by the query field that names the subresource; "" is for none of these fields.
_OBJECT_ACTIONS = {
    "GET": {"uploadId": "ListMultipartUploadParts", "": "GetObject"},
    "HEAD": {"versionId": "GetObjectVersion", "": "GetObject"},
    "PUT": {"": "PutObject"},
    "POST": {"restore": "RestoreObject", "": "PutObject"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "versionId": "DeleteObjectVersion"},
}
_BUCKET_ACTIONS = {
    "GET": {
        "uploads": "ListBucketMultipartUploads",
        "versions": "ListBucketVersions",
        "versioning": "GetBucketVersioning",
        "": "ListBucket",
    },
}
# Operations of the control plane that are not named as the action is.
_OPERATION_ACTIONS = {
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
}


def action_of_request(method: str, key: str, query: Collection[str] = ()) -> str | None:
    """Return the action that a request needs, such as `s3:PutObject`; None where it is not known.

    `query` has the names of the fields of the query. An empty key is the bucket itself.
    """
    actions = (_OBJECT_ACTIONS if key else _BUCKET_ACTIONS).get(method, {})
    asked = next((name for name in actions if name and name in query), "")
    return f"s3:{actions[asked]}" if asked in actions else None


def action_of_operation(operation: str) -> str:
    """Return the action that an operation of boto3 needs, such as `s3:ListBucket`."""
    return f"s3:{_OPERATION_ACTIONS.get(operation, operation)}"

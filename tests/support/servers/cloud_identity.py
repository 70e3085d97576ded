"""Where a runner's credentials really come from: IMDSv2 of an instance, STS, EKS Pod Identity.

Small servers on loopback that answer as the real ones do as far as the AWS SDK asks, refuse what
those refuse, and note every request.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

ROLE = "runner-role"
_SESSION = "imds-session-token=="


def _expiration() -> str:
    return (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Quiet(BaseHTTPRequestHandler):
    seen: list[str]

    def answer(self, status: int, text: str, kind: str = "text/plain") -> None:
        self.seen.append(f"{self.command} {self.path} {status}")
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Keep the tests' output clean."""


class _InstanceMetadata(_Quiet):
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html

    def do_PUT(self) -> None:
        if self.path != "/latest/api/token":
            self.answer(404, "")
        elif not self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "").isdigit():
            self.answer(400, "")
        else:
            self.answer(200, _SESSION)

    def do_GET(self) -> None:
        base = "/latest/meta-data/iam/security-credentials/"
        if self.headers.get("X-aws-ec2-metadata-token") != _SESSION:
            self.answer(401, "")
        elif self.path == base:
            self.answer(200, ROLE)
        elif self.path == base + ROLE:
            document = {
                "Code": "Success",
                "LastUpdated": "2026-01-01T00:00:00Z",
                "Type": "AWS-HMAC",
                "AccessKeyId": "ASIAIMDS",
                "SecretAccessKey": "secret-of-imds",
                "Token": "token-of-imds",
                "Expiration": _expiration(),
            }
            self.answer(200, json.dumps(document), "application/json")
        elif self.path == "/latest/meta-data/placement/availability-zone/":
            self.answer(200, "us-east-1a")
        else:
            self.answer(404, "")


class _TokenService(_Quiet):
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        if self.headers.get("Authorization"):
            self.answer(400, "this call is not signed")
        elif asked.get("Action") != "AssumeRoleWithWebIdentity":
            self.answer(400, "InvalidAction")
        elif asked.get("WebIdentityToken") != "jwt-of-the-pod" or ROLE not in asked["RoleArn"]:
            self.answer(400, "InvalidIdentityToken")
        else:
            self.answer(200, _ASSUMED.format(expiration=_expiration()), "text/xml")


_ASSUMED = """\
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult>
<SubjectFromWebIdentityToken>system:serviceaccount:default:tests</SubjectFromWebIdentityToken>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/runner-role/s</Arn>
<AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIASTS</AccessKeyId><SecretAccessKey>secret-of-sts</SecretAccessKey>
<SessionToken>token-of-sts</SessionToken><Expiration>{expiration}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>
"""


class _PodIdentityAgent(_Quiet):
    # https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "jwt-of-the-pod":
            self.answer(403, "")
            return
        document = {
            "AccessKeyId": "ASIAPOD",
            "SecretAccessKey": "secret-of-pod",
            "Token": "token-of-pod",
            "AccountId": "123456789012",
            "Expiration": _expiration(),
        }
        self.answer(200, json.dumps(document), "application/json")


@contextmanager
def _serve(handler: type[_Quiet]) -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"seen": seen}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def instance_metadata() -> Any:
    """Run the metadata service of an instance; yields its address and its requests."""
    return _serve(_InstanceMetadata)


def token_service() -> Any:
    """Run STS; yields its address and its requests."""
    return _serve(_TokenService)


def pod_identity_agent() -> Any:
    """Run the agent of EKS Pod Identity; yields its address and its requests."""
    return _serve(_PodIdentityAgent)

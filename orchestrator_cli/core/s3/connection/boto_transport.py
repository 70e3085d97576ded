"""Send botocore's requests through our own transport, which bounds every response.

botocore's own reads a response of any length, and waits for as long as a byte comes now and then.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.credentials import (
    AssumeRoleProvider,
    CanonicalNameCredentialSourcer,
    ContainerProvider,
    EnvProvider,
    InstanceMetadataProvider,
    ProcessProvider,
    ProfileProviderBuilder,
)
from botocore.exceptions import EndpointConnectionError
from botocore.parsers import ResponseParserError, ResponseParserFactory
from botocore.session import Session
from botocore.utils import (
    ContainerMetadataFetcher,
    InstanceMetadataFetcher,
    resolve_imds_endpoint_mode,
)

from orchestrator_cli.core.http.curl.easy import EasyTransport
from orchestrator_cli.core.http.curl.options import ClientOptions
from orchestrator_cli.core.http.transport import (
    Request,
    TransportError,
    TransportErrorKind,
    lower_headers,
)
from orchestrator_cli.core.s3.connection.credential_process import CredentialProcess
from orchestrator_cli.core.s3.errors import no_credentials

# A thousand lifecycle rules or versions are about 1 MiB, with some thirty elements each. What is
# nested deeper would take minutes and a GiB to parse.
_MAX_RESPONSE_BYTES = 8 * 1024 * 1024
_MAX_TAGS = 100_000
_LONGEST_SECONDS = 60.0
# libcurl decides itself whether to wait before a body.
_NOT_SENT = frozenset({"content-length", "expect"})
# Failures that a retry would not change.
_HOSTILE = frozenset(
    {TransportErrorKind.TOO_LARGE, TransportErrorKind.TOO_SLOW, TransportErrorKind.MALFORMED}
)


class BotoTransport:
    """An HTTP session for botocore. Safe to share between threads."""

    def __init__(self, options: ClientOptions) -> None:
        self._http = EasyTransport(options)

    def send(self, request: Any, **_: Any) -> AWSResponse:
        """Return the response to a prepared request; it is also what `before-send` asks for.

        Raises TransportError, and ResponseParserError for what no service of AWS answers.
        """
        body = request.body or b""
        data = body.read() if hasattr(body, "read") else body
        response = self._http.send(
            Request(
                request.method,
                request.url,
                lower_headers(request.headers, _NOT_SENT),
                data.encode() if isinstance(data, str) else data,
                max_body_bytes=_MAX_RESPONSE_BYTES,
                total_timeout_seconds=_LONGEST_SECONDS,
            )
        )
        # botocore takes these for a response that was cut short, which is a server's 500.
        has_entities = response.status < 300 and b"<!DOCTYPE" in response.body
        if has_entities or response.body.count(b"<") > _MAX_TAGS:
            raise ResponseParserError
        headers: Any = response.headers
        return AWSResponse(request.url, response.status, headers, _Raw(response.body))


class _Parsers(ResponseParserFactory):
    """Makes parsers that raise botocore's own exception for a response that is not AWS's."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return a parser of a protocol's responses."""
        return _Parser(super().create_parser(protocol_name))


class _Parser:
    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def parse(self, response: Any, shape: Any) -> Any:
        """Parse a response. Raises ResponseParserError, as for a number that is none."""
        try:
            parsed = self._parser.parse(response, shape)
            code = parsed.get("Error", {}).get("Code", "")
        except Exception as error:
            raise ResponseParserError from error
        # What is an element in its place, botocore would look up.
        if not isinstance(code, str):
            raise ResponseParserError
        return parsed


class _Raw(io.BytesIO):
    """A response body that has been read already."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Yield all of it."""
        yield self.read()


def make_session(profile: str | None, region: str, options: ClientOptions) -> Session:
    """Return a session of botocore whose clients and credential providers use our transport.

    `region` is where STS is asked for roles.
    """
    session = Session(profile=profile)
    session.set_config_variable("region", region)
    send: Any = BotoTransport(options).send
    session.register("before-send", send)
    session.register_component("response_parser_factory", _Parsers())
    resolver = session.get_component("credential_provider")
    # The same providers serve a profile's credential_source.
    resolver.get_provider("iam-role").load = _instance_metadata(session, options).load
    resolver.get_provider("container-role").load = _container_metadata(options).load
    profile_name = session.get_config_variable("profile") or "default"
    resolver.get_provider("custom-process").load = _process(session, profile_name).load
    resolver.get_provider("assume-role").load = _assumed_role(
        session,
        profile_name,
        [EnvProvider(), *map(resolver.get_provider, ("container-role", "iam-role"))],
    ).load
    return session


def _process(session: Session, profile_name: str) -> ProcessProvider:
    return ProcessProvider(profile_name, lambda: session.full_config, CredentialProcess)


class _ProfileProviders(ProfileProviderBuilder):
    """The providers of a profile that another one names as its source."""

    def __init__(self, session: Session, region: str) -> None:
        super().__init__(session, region_name=region)
        self._process = partial(_process, session)

    def providers(self, profile_name: str, disable_env_vars: bool = False) -> list[Any]:
        """Return them in botocore's order."""
        found: list[Any] = super().providers(profile_name, disable_env_vars)
        bounded = self._process(profile_name)
        return [bounded if one.METHOD == bounded.METHOD else one for one in found]


def _assumed_role(session: Session, profile_name: str, sources: list[Any]) -> AssumeRoleProvider:
    region = session.get_config_variable("region")
    return AssumeRoleProvider(
        load_config=lambda: session.full_config,
        client_creator=partial(session.create_client, region_name=region),
        cache={},
        profile_name=profile_name,
        prompter=_ask_at_terminal,
        credential_sourcer=CanonicalNameCredentialSourcer(sources),
        profile_provider_builder=_ProfileProviders(session, region),
    )


def _ask_at_terminal(prompt: str) -> str:
    """Ask for the code of a role that wants MFA. Raises AccessError where nobody can be asked.

    Without a terminal it would be read from standard input, which may be what is to be stored.
    """
    import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise no_credentials("the role wants a code (MFA), and there is no terminal") from error
    return getpass.getpass(prompt)


class _MetadataTransport(BotoTransport):
    """Sends requests to a metadata service, which may not exist on this machine."""

    def send(self, request: Any, **_: Any) -> AWSResponse:
        """Return the response. Raises botocore's own exception for an attempt that failed."""
        try:
            return super().send(request)
        except TransportError as error:
            if error.kind in _HOSTILE:
                raise
            raise EndpointConnectionError(endpoint_url=request.url, error=error) from error


class _InstanceMetadata(InstanceMetadataFetcher):
    """The metadata service of an instance."""

    def __init__(self, transport: _MetadataTransport, **settings: Any) -> None:
        super().__init__(**settings)
        # botocore has no parameter for it.
        self._session = transport


def _instance_metadata(session: Session, options: ClientOptions) -> InstanceMetadataProvider:
    seconds = session.get_config_variable("metadata_service_timeout")
    names = ("ec2_metadata_service_endpoint", "ec2_metadata_v1_disabled")
    config = {name: session.get_config_variable(name) for name in names}
    fetcher = _InstanceMetadata(
        _MetadataTransport(_within(options, seconds)),
        timeout=seconds,
        num_attempts=session.get_config_variable("metadata_service_num_attempts"),
        user_agent=session.user_agent(),
        config=config | {"ec2_metadata_service_endpoint_mode": resolve_imds_endpoint_mode(session)},
    )
    return InstanceMetadataProvider(fetcher)


def _container_metadata(options: ClientOptions) -> ContainerProvider:
    within = _within(options, ContainerMetadataFetcher.TIMEOUT_SECONDS)
    transport = _MetadataTransport(within._replace(proxies={}))
    fetcher: Any = ContainerMetadataFetcher(transport)
    return ContainerProvider(fetcher=fetcher)


def _within(options: ClientOptions, seconds: float) -> ClientOptions:
    return options._replace(connect_timeout_seconds=seconds, stall_timeout_seconds=seconds)

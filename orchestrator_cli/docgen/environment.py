"""The environment variables that all commands read."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator_cli.cli.configuration.environment import VIA_TOKEN_VARIABLE
from orchestrator_cli.cli.options import EXECUTION_ID_VARIABLE
from orchestrator_cli.docgen.command_tree import CommandReference


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable and what it does."""

    name: str
    meaning: str


_EXECUTION_ID = Variable(
    EXECUTION_ID_VARIABLE, "The execution that a command uses if `ID` is left out."
)
_VIA_TOKEN = Variable(
    VIA_TOKEN_VARIABLE, "The token for the server of `--via`; no option takes the token itself."
)
# Of the variables that boto3 reads, these are the ones that people set by hand.
_STANDARD = (
    Variable("AWS_PROFILE", "The named profile of the AWS configuration files to use."),
    Variable("AWS_REGION, AWS_DEFAULT_REGION", "The region of the bucket."),
    Variable(
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "Credentials. Profiles, single sign-on, web identity, container and instance roles "
        "work as with any AWS tool.",
    ),
    Variable(
        "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL",
        "The URL of an S3 other than AWS's; the first is preferred.",
    ),
    Variable("AWS_CA_BUNDLE", "A file of CA certificates to trust instead of the system's."),
    Variable(
        "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
        "The proxy to use, `http://[USER:PASSWORD@]HOST:PORT`, and the hosts to reach without it.",
    ),
    Variable("NO_COLOR", "If set and not empty, output has no colours."),
    Variable("FORCE_COLOR", "If set and not empty, output has colours without a terminal too."),
)


def global_variables(program: CommandReference) -> tuple[Variable, ...]:
    """Return every variable that does not belong to one command, our own first."""
    options = [
        Variable(name, f"The same as `{option.main_name}`.")
        for option in program.options
        for name in option.environment
    ]
    return (*options, _EXECUTION_ID, _VIA_TOKEN, *_STANDARD)

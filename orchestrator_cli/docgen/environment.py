"""The environment variables that every command reads."""

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
    EXECUTION_ID_VARIABLE, "The execution that a command is about where `ID` is left out."
)
_VIA_TOKEN = Variable(
    VIA_TOKEN_VARIABLE, "The token that `upload --via` shows its server; not on the command line."
)
# Those that boto3 reads are listed as far as people set them by hand.
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
    Variable("AWS_CA_BUNDLE", "A file of CA certificates to trust in place of the usual ones."),
    Variable(
        "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
        "The proxy to use, `http://[USER:PASSWORD@]HOST:PORT`, and the hosts to reach without.",
    ),
    Variable("NO_COLOR", "Where set and not empty, nothing is coloured."),
    Variable("FORCE_COLOR", "Where set and not empty, colour is used without a terminal too."),
)


def global_variables(program: CommandReference) -> tuple[Variable, ...]:
    """Return every variable that is not of one command alone, ours first."""
    options = [
        Variable(name, f"Stands for `{option.main_name}`.")
        for option in program.options
        for name in option.environment
    ]
    return (*options, _EXECUTION_ID, _VIA_TOKEN, *_STANDARD)

"""What of a command line is stored: neither a secret, nor less than is needed to run it again."""

from __future__ import annotations

import shlex

import pytest

from orchestrator_cli.core.base.command_secrets import mask_command


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        ("curl -u me:hunter2 h", "curl -u me:… h"),
        ("curl -sSfu 'me:hunter 2' h", "curl -sSfu me:… h"),
        ("curl --user=me:hunter2 h", "curl --user=me:… h"),
        ("sh -c 'curl -ume:hunter2 h'", "sh -c 'curl -ume:… h'"),
        ("smbclient -U me%hunter2", "smbclient -U me%…"),
        ("tool -p hunter2", "tool -p …"),
        ("mysql -u root -phunter2 db", "mysql -u root -p… db"),
        ("sh -c 'mysqldump -u root -phunter2 db'", "sh -c 'mysqldump -u root -p… db'"),
        ("docker login -u me -p hunter2", "docker login -u me -p …"),
        ("redis-cli -a hunter2", "redis-cli -a …"),
        ("env API_KEYS=hunter2 AUTH='hunter 2' t", "env API_KEYS=… AUTH=… t"),
        ("env TOKEN_ACCOUNT=hunter2 t", "env TOKEN_ACCOUNT=… t"),
        ("env GITHUB_TOKEN_PROD=hunter2 t", "env GITHUB_TOKEN_PROD=… t"),
        ("sh -c 'TOKEN=\"hunter 2\" t'", "sh -c 'TOKEN=… t'"),
        ("curl -H 'Authorization: Bearer hunter2' h", "curl -H Authorization:… h"),
        ("tool Authorization: Bearer hunter2", "tool Authorization:… Bearer …"),
        ("curl --header 'X-Api-Key: hunter2' h", "curl --header 'X-Api-Key: …' h"),
        ("curl -H 'Cookie: id=hunter2' h", "curl -H 'Cookie: …' h"),
        ("curl --oauth2-bearer hunter2 h", "curl --oauth2-bearer … h"),
        ("curl 'https://h/x?a=1&sig=hunter2%3D&b=2'", "curl 'https://h/x?a=1&sig=…&b=2'"),
        ("curl 'https://h/x?access_token=hunter2'", "curl 'https://h/x?access_token=…'"),
        ("curl 'https://h/x?X-Amz-Signature=hunter2'", "curl https://h/x…"),
        ('tool \'{"password": "hun\\"ter2", "a": 1}\'', 'tool \'{"password": …, "a": 1}\''),
        ("tool 'AccountName=a;AccountKey=hunter2==;X=1'", "tool 'AccountName=a;AccountKey=…;X=1'"),
        ("curl https://hooks.slack.com/services/T0/B0/hunter2", "curl https://hooks.slack.com/…"),
        (
            "sh -c 'curl https://a.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/hunter2'",
            "sh -c 'curl https://a.webhook.office.com/…'",
        ),
        ("openssl -passin pass:hunter2", "openssl -passin pass:…"),
        ("tool ghp_hunter2hunter2hunter2", "tool …"),
        ("tool eyJhdW50ZXIy.aHVudGVyMg.c2ln", "tool …"),
    ],
)
def test_a_secret_is_masked_and_nothing_else(line: str, stored: str) -> None:
    assert mask_command(shlex.split(line), {}) == shlex.split(stored)


@pytest.mark.parametrize(
    "line",
    [
        "pytest -p no:cacheprovider -k 'password or token' tests/test_token.py",
        "python -m pytest -k 'token=3 or password=x' --token-type jwt",
        "make TOKEN_LIMIT=5 TOKEN_COUNT=4 MAX_TOKENS=9",
        "tool --max-tokens 500 --password-length 8",
        "sh -c 'mkdir -p build && ssh -p 22 host'",
        "docker run -u 1000:1000 -p 8080:80 -v /a:/b image",
        "tool -p 8080 --no-password x --password-file /run/x",
        "env PWD=/tmp TOKEN_FILE=/run/x AWS_ACCESS_KEY_ID=AKIA t",
        "git log --author=me --tokenize on",
        "cp -pr a b",
        "env TOKEN= t",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert mask_command(shlex.split(line), {"CI_AUTH": "true"}) == shlex.split(line)


@pytest.mark.parametrize(
    "word",
    ["-", "token", "_token", "key=", "mysql -p ", 'pass="', "eyJ", "-u ", "a.webhook.office.com"],
)
def test_no_word_takes_long(word: str) -> None:
    """A pattern that tries each end from each beginning would take minutes."""
    assert mask_command(["sh", "-c", word * 8000], {})

"""Command lines and labels without the secrets that are in them, so that they can be stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator_cli.core.base.text import without_secrets

MASK = "…"
# How the names of secrets end: API_TOKEN, --passwords, PASSWORD_PROD, CLIENT_SECRET_V2, --ssh-key,
# AccountKey, X-Auth; but not those of a file with one, or of how many or how long they are.
_ENDING = (
    r"(?:(?<!max[_-])(?:token|password)s?"
    r"(?!\w{0,40}(?:file|path|less)|[-_](?:limit|count|length|size|type|name)(?![\w-]))(?:[_\d]\w{0,40})?"
    r"|passwd|passphrase|keyphrase|credentials?|secret\w{0,40}|cookies?|jwt|bearer"
    r"|(?:api|access|account|private|signing|encryption)[-_.]?keys?"
    r"|[-_.](?:pass|pwd|keys?|pin|pat|psk|sas|auth))"
)
# PWD is a directory, and a bare key is mostly none.
_NAME = rf"(?:[\w.-]*{_ENDING}|pass(?:in|out)?|auth|pgpass)"
_TEXT = r""""(?:\\.|[^"\\])*"|'[^']*'"""
_VALUE = rf"""(?:{_TEXT}|[^\s;&|<>()"']+)"""
_SCHEME = r"(?:(?:bearer|basic|token|digest)\s+)?"

_SECRET_NAME = re.compile(rf"{_NAME}$", re.IGNORECASE)
# A word that is nothing but NAME=value, whose value may have anything in it.
_ASSIGNMENT = re.compile(rf"({_NAME}=)(?=.)", re.IGNORECASE | re.DOTALL)
# NAME=value, --name=value, Name: value, "name": "value", anywhere in the text of a word.
_ASSIGNED = re.compile(rf"(?<![\w.-])({_NAME}[\"']?\s*[=:]\s*{_SCHEME}){_VALUE}", re.IGNORECASE)
# --name value in the text of a script.
_OPTION = re.compile(rf"(?<!\S)(--?(?!no-){_NAME}\s+){_VALUE}", re.IGNORECASE)
# Parameters of URLs that are enough to get in: of shared access signatures, API keys.
_PARAMETER = re.compile(
    r"([?&;](?:key|code|sig|signature|hmac|sas|pass|pwd|pin|auth)=)[^\s&;#\"']+", re.IGNORECASE
)
# curl -u NAME:PASSWORD, smbclient -U NAME%PASSWORD; not a user and a group as numbers, or a path.
_LOGIN_OPTION = re.compile(r"-\w*[uU]|--(?:proxy-)?user|--cert")
_USER = r"(?!\d+:\d+(?:\s|$))[^\s:%\"'/-][^\s:%\"'/]*[:%]"
_LOGIN_VALUE = re.compile(rf"({_USER})(?![/\s]).+", re.DOTALL)
_LOGIN = re.compile(
    rf"(?<!\S)((?:(?:{_LOGIN_OPTION.pattern})(?:\s+|=)|-[uU])[\"']?{_USER})(?!/)[^\s\"']+"
)
# mysql -pPASSWORD and the like in the text of a script.
_SHORT_OPTION = re.compile(
    r"(?<![\w.-])((?:my\w+|mariadb[\w-]*|sshpass)\s(?:[^;&|\n]{0,200}?\s)?-p ?)"
    r"[^\s;&|\"'-][^\s;&|\"']*"
)
# Tokens that say themselves what they are: of GitHub, GitLab, Slack, Vault, PyPI; a JWT; a key.
_TOKEN = re.compile(
    r"\b(?:gh[a-z]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|hvs\.[\w-]{20,}"
    r"|pypi-[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*-----)?"
)
# Addresses whose path is enough to post there: of Slack, Teams, Discord, Telegram, Zapier, Feishu.
_WEBHOOK = re.compile(
    r"(\b(?:hooks\.slack(?:-gov)?\.com|[\w.-]{1,100}\.webhook\.office\.com|outlook\.office(?:365)?\.com"
    r"|discord(?:app)?\.com/api/webhooks|api\.telegram\.org|hooks\.zapier\.com|hc-ping\.com"
    r"|maker\.ifttt\.com|open\.(?:feishu\.cn|larksuite\.com))/)[^\s\"'<>]+",
    re.IGNORECASE,
)
_PATTERNS = (
    _WEBHOOK,
    _ASSIGNED,
    _OPTION,
    _PARAMETER,
    _LOGIN,
    _SHORT_OPTION,
)
_SCRIPT_FOLLOWS = re.compile(r"-\w*c")
# Shorter values of variables are as likely to be words of the command.
_SHORTEST_SECRET = 4
_NO_SECRETS = frozenset({"true", "false", "none", "null"})
_LONGEST_WORD = 8192
# Who says -p and means a port, a path, a plugin or none at all; of all others it is a password.
_OTHER_P = frozenset(
    "ant behave cargo chrt cmake cp docker gcc gdb git go gradle gradlew helm install kubectl ln "
    "lsof make mkdir mvn mvnw nc netcat nice ninja nmap npm npx patch pg_dump pg_restore pip pkill "
    "podman ps psql pytest py.test robot rsync scp sftp ssh strace tar taskset tox valgrind "
    "yarn".split()
)
# What follows its -k picks tests by their names.
_PYTEST = frozenset({"pytest", "py.test"})
_LOGIN_COMMAND = "login"
# Which short options of which programs have a password, which may follow without a space.
_SHORT = {"redis-cli": "-a", "sqlcmd": "-P", "zip": "-P", "unzip": "-P", "curl": "-b"}
_SHORT |= dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mariadb", "sshpass"), "-p")
_SHORT |= dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete"), "-w")
_NO_PASSWORD = re.compile(r"-.*|[\d.,:/-]+")
_IS_NAMED = ("bearer", "basic")


def mask_command(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the words of a command with every recognised secret replaced by `…`.

    Those are the values of variables, options, headers and parameters of URLs whose names say so,
    wherever they are in a word; the values of such variables of the `environment`; users and
    passwords of URLs; the passwords of `-u NAME:PASSWORD` and `-p PASSWORD`; and tokens that are
    known by their form. Words that are very long are cut.
    """
    return list(_masked_words(words, _secret_values(environment)))


def mask_labels(labels: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return labels with every recognised secret replaced by `…`.

    Those are the values of labels whose names say so, and what `mask_command` finds in a word.
    """
    known = _secret_values(environment)
    return {
        name: MASK if text and _SECRET_NAME.match(name) else _masked(text, known)
        for name, text in labels.items()
    }


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    """Return the values of variables whose names say that they are secret, the longest first."""
    named = [value for name, value in environment.items() if _SECRET_NAME.match(name)]
    found = [
        one for one in named if len(one) >= _SHORTEST_SECRET and one.lower() not in _NO_SECRETS
    ]
    return sorted(found, key=len, reverse=True)


def _masked_words(words: Sequence[str], known: list[str]) -> Iterator[str]:
    programs = {word.rpartition("/")[2] for word in words}
    short = {option for program, option in _SHORT.items() if program in programs}
    p_is_password = _LOGIN_COMMAND in programs or not programs & _OTHER_P
    before = ""
    for word in words:
        is_password = before == "-p" and p_is_password and not _NO_PASSWORD.fullmatch(word)
        if is_password or _takes_secret(before, short):
            yield word if word.lower() in _IS_NAMED else MASK
        elif before == "-k" and programs & _PYTEST:
            yield _TOKEN.sub(MASK, _without(word, known))
        elif word[:2] in short:
            yield word[:2] + MASK if word[2:] else word
        else:
            yield _masked_word(word, before, known)
        before = word


def _takes_secret(before: str, short: Iterable[str]) -> bool:
    """Return True where the word after this one is a secret, whatever it is."""
    if before in short or before.lower() in _IS_NAMED:
        return True
    is_option = before.startswith("-") and not before.startswith("--no-")
    return (is_option or before.endswith(":")) and bool(
        _SECRET_NAME.match(before.removesuffix(":"))
    )


def _masked_word(word: str, before: str, known: list[str]) -> str:
    assignment = _ASSIGNMENT.match(word)
    if assignment and not _SCRIPT_FOLLOWS.fullmatch(before):
        return assignment[1] + MASK
    login = _LOGIN_VALUE.fullmatch(word)
    if login and _LOGIN_OPTION.fullmatch(before):
        return login[1] + MASK
    return _masked(_shortened(word, known), known)


def _shortened(word: str, known: list[str]) -> str:
    if len(word) <= _LONGEST_WORD:
        return word
    # Not in the middle of a secret.
    return _without(word, known)[:_LONGEST_WORD] + MASK


def _masked(text: str, known: list[str]) -> str:
    text = _TOKEN.sub(MASK, _without(text, known))
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return without_secrets(text)


def _without(text: str, known: list[str]) -> str:
    for value in known:
        text = text.replace(value, MASK)
    return text

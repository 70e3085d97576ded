"""The guide at the top of the page at /docs: the common tasks, with examples."""

from __future__ import annotations

# Heading, text, example. {base}, {yesterday} and {today} are filled in.
GUIDE = (
    (
        "Find executions",
        "Times are UTC. Where the server asks for no token, leave the header out.",
        """\
# yesterday's failed executions of a suite
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since={yesterday}&until={today}&result=fail&suite=smoke"

# those since 2 days ago
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since=2d&result=fail&suite=smoke"

# the next page: add the next_cursor of the page before, until it is null;
# a page can have few executions, or none, and a next one nevertheless
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since={yesterday}&until={today}&result=fail&suite=smoke&cursor=$CURSOR"
""",
    ),
    (
        "Link a log",
        """The server redirects to a URL that needs no token and works for a time; a browser shows \
the log in place. A browser sends no token, so where one is needed put the URL itself on a page. \
Send the token to this server only, and not on to where it redirects.""",
        """\
# the URL
curl -s -o /dev/null -w '%{redirect_url}\\n' -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions/$ID/logs/stdout"

# the log itself
curl -L -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/logs/stdout"

# its last 100 lines, as text
curl -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/logs/stdout?tail=100"

# all its logs, and all its screenshots, each with a URL that works until expires_at
curl -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/artifacts?prefix=logs/"
curl -H "Authorization: Bearer $TOKEN" "{base}/executions/$ID/artifacts?glob=*.png"

# where no token is needed this is a link too, and it lasts
# {base}/executions/$ID/logs/stdout
""",
    ),
    (
        "All of that in Python",
        "It prints the logs of yesterday's failed executions of a suite.",
        """\
import json, os, urllib.request

def get(path):
    token = {"Authorization": "Bearer " + os.environ.get("TOKEN", "")}
    asked = urllib.request.Request("{base}" + path, headers=token)
    return json.load(urllib.request.urlopen(asked))

cursor = ""
while cursor is not None:
    page = get("/executions?since={yesterday}&until={today}"
               "&result=fail&suite=smoke&cursor=" + cursor)
    for one in page["executions"]:
        logs = get("/executions/" + one["execution_id"] + "/artifacts?prefix=logs/")
        for log in logs["artifacts"]:
            print(one["execution_id"], one["started_at"], log["path"], log["url"])
    cursor = page["next_cursor"]
""",
    ),
    (
        "Upload from a bench",
        "It takes no AWS credentials, but a token of `orchestrator serve --scope upload`.",
        """\
ORCHESTRATOR_VIA_TOKEN=$TOKEN orchestrator upload $ID results/ --via {base}
""",
    ),
)

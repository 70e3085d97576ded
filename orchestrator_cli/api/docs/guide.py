"""The guide at the top of the page at /docs: common tasks, with examples."""

from __future__ import annotations

# Heading, text, example. {base}, {yesterday} and {today} are placeholders.
GUIDE = (
    (
        "Find executions",
        "Times are UTC. If the server needs no token, leave the header out.",
        """\
# yesterday's failed executions of a suite
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since={yesterday}&until={today}&result=fail&suite=smoke"

# the failed ones of the last 2 days
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since=2d&result=fail&suite=smoke"

# the next page: add the next_cursor of the previous page, until that is null;
# a page can have few executions, or none, and still have a next page
curl -H "Authorization: Bearer $TOKEN" \\
  "{base}/executions?since={yesterday}&until={today}&result=fail&suite=smoke&cursor=$CURSOR"
""",
    ),
    (
        "Link a log",
        """The server redirects to a URL that needs no token and expires after a time; a browser \
shows the log in place. Browsers send no token, so if the server needs one, link to that URL \
itself. Send the token to this server only, not to the URL that it redirects to.""",
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

# if the server needs no token, this is a permanent link
# {base}/executions/$ID/logs/stdout
""",
    ),
    (
        "All of that in Python",
        "This program prints the logs of yesterday's failed executions of a suite.",
        """\
import json, os, urllib.request

def get(path):
    token = {"Authorization": "Bearer " + os.environ.get("TOKEN", "")}
    request = urllib.request.Request("{base}" + path, headers=token)
    return json.load(urllib.request.urlopen(request))

cursor = ""
while cursor is not None:
    page = get("/executions?since={yesterday}&until={today}"
               "&result=fail&suite=smoke&cursor=" + cursor)
    for execution in page["executions"]:
        logs = get("/executions/" + execution["execution_id"] + "/artifacts?prefix=logs/")
        for log in logs["artifacts"]:
            print(execution["execution_id"], execution["started_at"], log["path"], log["url"])
    cursor = page["next_cursor"]
""",
    ),
    (
        "Upload from a bench",
        "Use a token of `orchestrator serve --new-token NAME --scope upload`, not AWS credentials.",
        """\
ORCHESTRATOR_VIA_TOKEN=$TOKEN orchestrator upload $ID results/ --via {base}
""",
    ),
)

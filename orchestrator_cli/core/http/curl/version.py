"""The version of libcurl in use."""

import pycurl


def curl_version() -> str:
    """Return the versions of libcurl and of what it is built with."""
    return " ".join(pycurl.version.split()[1:])

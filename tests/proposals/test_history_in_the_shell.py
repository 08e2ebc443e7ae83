"""What log and blame print of a merged proposal."""

from __future__ import annotations

import subprocess
import sys

import pytest
from review_site import ReviewSite, web

pytestmark = pytest.mark.slow


def printed(site: ReviewSite, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "catalogd", *arguments, "--catalog", str(site.root)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_log_and_blame_say_in_few_words_who_approved(site):
    site.merge("ada", site.approve("bert", site.propose("sten", web(description="new"), title="Better words")))
    site.close()
    words = "  (proposal 1, reviewed by bert)"
    for arguments in (("log", "-n", "1"), ("log", "-n", "1", "acme/web")):
        line = printed(site, *arguments)[0]
        assert "  sten  " in line
        assert line.endswith(f"  Better words{words}")
    blamed = {line.split()[3]: line for line in printed(site, "blame", "acme/web")}
    assert "  sten  " in blamed["/description"]
    assert blamed["/description"].endswith(f"  /description{words}")
    assert blamed["/repo_name" if "/repo_name" in blamed else "/created_at"].count("proposal") == 0
    site.open()

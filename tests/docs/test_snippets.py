"""Every Python block of README.md and of docs/ runs as it stands, alone, in a folder of its own.

A block that cannot run here is marked ```python notest, and the text says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SNIPPETS = {  # code -> the first place where it stands
    block: f"{page.relative_to(ROOT)}:{i}"
    for page in reversed(PAGES)
    for i, block in enumerate(BLOCK.findall(page.read_text()), start=1)
}


def test_blocks_are_found():
    assert len(SNIPPETS) >= 10


@pytest.mark.parametrize("code", SNIPPETS, ids=SNIPPETS.values())
def test_the_snippet_runs(code, tmp_path):
    (tmp_path / "snippet.py").write_text(code)
    done = subprocess.run([sys.executable, "snippet.py"], cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it prints nothing"

"""Experiments lie in the repository, and are no part of what is installed."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A source distribution has the tests without them.
collect_ignore_glob = [] if (ROOT / "experiments").is_dir() else ["*_test.py"]
sys.path.insert(0, str(ROOT))

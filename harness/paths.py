"""Where the project lies, where it keeps results, and where what can be made again."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
CACHE = ROOT / ".asv"

"""asv's face of the suite. Each benchmark asks for a measurement and reports one number of it.

asv puts only the folder above this one's name on the path by way of this package; `models` and `sampling` stand beside
it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

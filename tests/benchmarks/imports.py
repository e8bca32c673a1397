"""What ``import neurockt.monitor`` adds to a bare interpreter: whole processes, one of each in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.benchmarks.harness import REPOSITORY, Effort, Figure, Measure, clean_environment, progress, spread

REPETITIONS, QUICK_REPETITIONS = 20, 10
"""In each round."""
TARGET_MS = 50
HEAVY = ("torch", "pyarrow", "textual", "wandb")
"""What must not be loaded by it."""
IMPORT = "import neurockt.monitor"


def whole_process_ms(code: str) -> float:
    """Milliseconds from an interpreter's start to its end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=clean_environment(), check=True)
    return 1000 * (time.perf_counter() - begun)


def heavy_loaded() -> str:
    """The heavy packages that are loaded by it, with spaces between them."""
    code = f"{IMPORT}\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def imports(effort: Effort) -> Iterator[Figure]:
    """The figure."""
    whole_process_ms(IMPORT)  # writes the bytecode
    added = []
    for number in range(effort.rounds):
        progress(f"imports: round {number + 1} of {effort.rounds}")
        pairs = [
            (whole_process_ms(IMPORT), whole_process_ms("pass"))
            for _ in range(effort.of(REPETITIONS, QUICK_REPETITIONS))
        ]
        added.append(statistics.median(ours for ours, _ in pairs) - statistics.median(bare for _, bare in pairs))
    cost, loaded = spread(added), heavy_loaded()
    yield Figure(
        f"{IMPORT} over a bare interpreter, ms",
        cost.text(1),
        f"<= {TARGET_MS}",
        cost.median <= TARGET_MS and not loaded,
        f"loads {loaded or 'none of ' + ', '.join(HEAVY)}",
    )


MEASURES = [Measure("imports", "import neurockt.monitor, over a bare interpreter", imports)]

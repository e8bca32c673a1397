"""The terminal viewer: browse, chart and compare runs. It reads them through ``neurockt`` and never writes to one."""

import os

# What a key changes is often drawn in two parts, and Textual leaves two frames between them: read as it is imported
os.environ.setdefault("TEXTUAL_FPS", "240")

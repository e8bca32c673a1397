"""The terminal viewer: browse, chart and compare runs. It reads them through ``neurockt`` and never writes to one."""

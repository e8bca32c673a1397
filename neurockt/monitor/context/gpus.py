"""The NVIDIA GPUs that this process may use, asked through NVML: no CUDA context is made, and none is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

GIB: Final = 2**30


class Gpus:
    """The visible GPUs, in the order in which CUDA counts them."""

    def __init__(self, nvml: ModuleType) -> None:
        """Ask the driver which there are; none where there is no driver."""
        self._nvml = nvml
        self._questions: dict[str, Callable[[Any], float]] = {
            "util_percent": lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
            "memory_gib": lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used / GIB,
            "power_w": lambda gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
            "temperature_c": lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        }
        self._handles: list[Any] = []
        try:
            nvml.nvmlInit()
            self._handles = _visible(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
        except nvml.NVMLError:
            pass

    def names(self) -> list[str]:
        """What the GPUs are called."""
        found = (self._ask(self._nvml.nvmlDeviceGetName, handle) for handle in self._handles)
        return [name.decode() if isinstance(name, bytes) else str(name) for name in found if name is not None]

    def measures(self) -> Iterator[tuple[str, float]]:
        """What each GPU does; a figure that it does not give is left out, as most are for a slice of one (MIG)."""
        for index, handle in enumerate(self._handles):
            for name, question in self._questions.items():
                value = self._ask(question, handle)
                if value is not None:
                    yield f"gpu{index}_{name}", float(value)

    def _ask(self, question: Callable[[Any], Any], handle: Any) -> Any:
        try:
            return question(handle)
        except self._nvml.NVMLError:
            return None


def import_nvml() -> ModuleType | None:
    """NVIDIA's own bindings; None where they are not installed."""
    try:
        import pynvml
    except Exception:  # of one that is broken too, absent means absent
        return None
    return pynvml  # type: ignore[no-any-return]


def _visible(nvml: ModuleType, wanted: str | None) -> list[Any]:
    """Handles of the GPUs that ``CUDA_VISIBLE_DEVICES`` names; as for CUDA, what follows an unknown one is not seen."""
    everyone = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if wanted is None:
        return everyone
    handles: list[Any] = []
    for word in wanted.split(","):
        handle = _named(nvml, everyone, word.strip())
        if handle is None:
            break
        handles.append(handle)
    return handles


def _named(nvml: ModuleType, everyone: list[Any], word: str) -> Any:
    """The GPU, or the slice of one, that a number or an identifier names; None where there is none."""
    if word.isdecimal():
        return everyone[int(word)] if int(word) < len(everyone) else None
    try:
        if word.startswith("MIG-") and not word.startswith("MIG-GPU-"):
            return nvml.nvmlDeviceGetHandleByUUID(word)
        identifier = word.removeprefix("MIG-").partition("/")[0]  # of old, a slice was named after its GPU
        for handle in everyone:
            uuid = nvml.nvmlDeviceGetUUID(handle)
            if identifier and (uuid.decode() if isinstance(uuid, bytes) else uuid).startswith(identifier):
                return handle
    except nvml.NVMLError:
        pass
    return None

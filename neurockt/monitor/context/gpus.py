"""The NVIDIA GPUs that this process may use. NVML is asked, which needs and makes no CUDA context."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

GIB: Final = 2**30


class Gpus:
    """The visible GPUs, in the order in which CUDA counts them."""

    def __init__(self, nvml: ModuleType) -> None:
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
        found = (self._ask(self._nvml.nvmlDeviceGetName, handle) for handle in self._handles)
        return [name.decode() if isinstance(name, bytes) else str(name) for name in found if name is not None]

    def measures(self) -> Iterator[tuple[str, float]]:
        """Load, memory, power and temperature by column; without what a GPU, or a slice of one (MIG), hides."""
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
    try:
        import pynvml
    except Exception:  # a broken one counts as absent
        return None
    return pynvml  # type: ignore[no-any-return]  # pynvml declares no types


def _visible(nvml: ModuleType, wanted: str | None) -> list[Any]:
    """Handles of the GPUs in ``CUDA_VISIBLE_DEVICES``; as CUDA does, ignores those after an unknown one."""
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
    """The GPU, or slice of one, with this number or identifier; None if there is none."""
    if word.isdecimal():
        return everyone[int(word)] if int(word) < len(everyone) else None
    try:
        if word.startswith("MIG-") and not word.startswith("MIG-GPU-"):
            return nvml.nvmlDeviceGetHandleByUUID(word)
        identifier = word.removeprefix("MIG-").partition("/")[0]  # older drivers named a slice after its GPU
        for handle in everyone:
            uuid = nvml.nvmlDeviceGetUUID(handle)
            if identifier and (uuid.decode() if isinstance(uuid, bytes) else uuid).startswith(identifier):
                return handle
    except nvml.NVMLError:
        pass
    return None

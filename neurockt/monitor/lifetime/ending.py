"""How a run ends, as its own process sees it: by an exception, an exit status, a signal, or normally.

Exit handlers are not given the reason. An exception that nobody caught is in ``sys.last_value``, and that of a thread
goes to ``threading.excepthook``. Of a ``SystemExit`` nothing is left: so while a run is recorded, its ``code`` is
replaced by a descriptor that notices when the interpreter reads it. In a process that multiprocessing started, exit
handlers find the exception while it leaves, but from Python 3.13 on they run too late: there multiprocessing itself
reads that code, or prints the exception by ``traceback.print_exc``, which is replaced, too.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurockt.monitor.lifetime import signals
from neurockt.monitor.lifetime.destination import is_child
from neurockt.run_info import Failure, State
from neurockt.store.owner.process import oom_kills

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.session import Session

FLUSH_SECONDS: Final = 1.0
"""How long a process that a signal ends waits for numbers from an accelerator."""

OUT_OF_MEMORY: Final = "out of memory"
_MEMORY_ERRORS: Final = ("MemoryError", "OutOfMemoryError")
"""The names of Python's and of torch's."""


class Ending(NamedTuple):
    state: State
    failure: Failure | None = None
    cause: str | None = None


class Watch:
    """Watches for the end of the process, for one session, from its first row on."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._began = time.monotonic()
        self._earlier = getattr(sys, "last_value", None)
        self._thread = threading.current_thread()
        self._exit: Ending | None = None
        self._thread_failed: tuple[int, Ending] | None = None  # and how many rows there were
        atexit.register(self.at_exit)
        self._finalizer: Any = None
        if is_child():  # which may exit without the interpreter's exit handlers
            self._finalizer = sys.modules["multiprocessing.util"].Finalize(None, self.at_exit, exitpriority=0)
        _watches.add(self)
        _hook()

    def listen(self) -> None:
        writer = self.session.writer
        if writer is not None:
            writer.cause = lambda: signals.signal_since(self._began)
        signals.listen(self)

    def close(self) -> None:
        atexit.unregister(self.at_exit)
        if self._finalizer is not None:
            self._finalizer.cancel()
        signals.forget(self)
        _watches.discard(self)
        if not _watches:
            _unhook()

    def disown(self) -> None:
        atexit.unregister(self.at_exit)
        _watches.discard(self)

    # How the run ends

    def at_finish(self) -> Ending:
        """How the run ends by ``finish()``, which a script also calls after a signal."""
        return self._with_signal(Ending("finished"))

    def at_exit(self) -> None:
        self.session.finish(self._with_signal(self._by_exception()))

    def after(self, error: BaseException) -> Ending:
        return self._with_signal(Ending("finished") if isinstance(error, GeneratorExit) else self._failed(error))

    def _with_signal(self, ending: Ending) -> Ending:
        cause = signals.signal_since(self._began)
        return ending if cause is None else Ending("preempted", ending.failure, cause)

    def _by_exception(self) -> Ending:
        if is_child() and (error := sys.exc_info()[1]) is not None:
            return self._failed(error)
        error = getattr(sys, "last_value", None)
        if (
            error is not None
            and error is not self._earlier
            and (_reached_the_top(error) or id(error) == self.session.left)
        ):
            return self._failed(error)
        if self._exit is not None:
            return self._exit
        if self._thread_failed is not None and self._thread_failed[0] == self._rows():
            return self._thread_failed[1]
        return Ending("finished")

    def _failed(self, error: BaseException) -> Ending:
        if isinstance(error, SystemExit):
            if error.code in (None, 0):
                return Ending("finished")
            if error.__context__ is not None:
                return self._failed(error.__context__)
        text = "".join(traceback.format_exception(error))
        failure = Failure(type(error).__name__, str(error), text)
        return Ending("failed", failure, self._cause_of(error))

    def _cause_of(self, error: BaseException) -> str:
        if type(error).__name__ in _MEMORY_ERRORS or self._memory_ran_out():
            return OUT_OF_MEMORY
        if isinstance(error, SystemExit):
            return f"exit {error.code & 0xFF}" if isinstance(error.code, int) else "exit 1"
        return "KeyboardInterrupt" if isinstance(error, KeyboardInterrupt) else "exception"

    def _memory_ran_out(self) -> bool:
        """Whether the kernel has killed a process of this job because memory ran out."""
        writer = self.session.writer
        attempt = writer.info.attempt if writer else None
        return attempt is not None and oom_kills(attempt.cgroup) > attempt.oom_kills

    def _rows(self) -> int:
        return self.session.steps.last + self.session.epochs.last

    def exits(self, error: SystemExit) -> None:
        self._exit = self._failed(error)

    def thread_failed(self, thread: threading.Thread | None, error: BaseException) -> None:
        if thread is self._thread or id(error) == self.session.left:
            self._thread_failed = self._rows(), self._failed(error)

    # As a listener of signals

    def note(self) -> None:
        """Write the signal down in ``run.json``: should the process die without another word, readers know why."""
        if self.session.writer is not None:
            self.session.writer.note()

    def end(self) -> None:
        self.note()
        self.session.seal(self.at_finish(), FLUSH_SECONDS)


def _reached_the_top(error: BaseException) -> bool:
    """Whether an exception has left the script itself, and was not caught by what runs it, as pytest and IPython do."""
    if error.__traceback__ is None or hasattr(sys, "ps1"):
        return False
    frame = error.__traceback__.tb_frame
    return frame.f_code.co_name == "<module>" or frame.f_globals.get("__name__") == "runpy"


class _ExitCode:
    """Stands in for ``SystemExit.code``, which the interpreter reads when such an exception ends it."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __get__(self, error: SystemExit | None, owner: type | None = None) -> Any:
        caller = sys._getframe().f_back  # None: the interpreter
        if error is not None and _runs_child(caller):
            _leave(error)
        elif error is not None and caller is None and not _is_test_runner():
            for watch in list(_watches):
                watch.exits(error)
        return self if error is None else self.original.__get__(error, owner)

    def __set__(self, error: SystemExit, code: Any) -> None:
        self.original.__set__(error, code)

    def __delete__(self, error: SystemExit) -> None:
        self.original.__delete__(error)


def _exit(status: Any = None, /) -> Any:
    raise SystemExit(status)  # the original gives the interpreter a bare status, and no exception to read it from


def _excepthook(args: Any, /) -> Any:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        for watch in list(_watches):
            watch.thread_failed(args.thread, args.exc_value)
    _originals[1](args)


def _print_exc(*arguments: Any, **options: Any) -> Any:
    if _runs_child(sys._getframe().f_back):
        _leave(sys.exc_info()[1])
    _originals[2](*arguments, **options)


def _leave(error: BaseException | None) -> None:
    for watch in list(_watches):
        watch.session.leave(error)


def _runs_child(caller: FrameType | None) -> bool:
    """Whether this is the frame of multiprocessing that runs a child process, and handles what ends it."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and caller is not None and caller.f_code is process.BaseProcess._bootstrap.__code__


def _is_test_runner() -> bool:
    """Whether the script is pytest, whose exit status is not about the code that its tests ran."""
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    return main.stem in ("pytest", "py.test") or main.parent.name == "pytest"


def _replace_exit_code(make: Callable[[Any], Any]) -> None:
    """Replace the descriptor of ``SystemExit.code``: built-in classes have no public way."""
    import ctypes

    (attributes,) = gc.get_referents(SystemExit.__dict__)
    attributes["code"] = make(attributes["code"])
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(SystemExit))


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Another program replaces this one, as by ``os.execv``: no exit handler will run."""
    if event == "os.exec" and _watches and os.access(arguments[0], os.X_OK):
        error = sys.exc_info()[1]
        _leave(error if isinstance(error, Exception) else None)


_watches: Final[weakref.WeakSet[Watch]] = weakref.WeakSet()
_originals: tuple[Callable[..., Any], ...] = sys.exit, threading.excepthook, traceback.print_exc
_is_hooked = False
sys.addaudithook(_audit)  # there is no way to remove it


def _hook() -> None:
    """Watch the interpreter's exit and the threads' exceptions; what was there before is called."""
    global _originals, _is_hooked
    if not _is_hooked:
        _replace_exit_code(_ExitCode)
        _originals, _is_hooked = (sys.exit, threading.excepthook, traceback.print_exc), True
        threading.excepthook, traceback.print_exc = _excepthook, _print_exc
        _replace_exit(sys.exit, _exit)


def _unhook() -> None:
    """Leave them as they were, unless somebody else has replaced ours."""
    global _is_hooked
    present = sys.exit, threading.excepthook, traceback.print_exc
    if _is_hooked and present == (_exit, _excepthook, _print_exc):
        _replace_exit_code(lambda ours: ours.original)
        _, threading.excepthook, traceback.print_exc = _originals
        _replace_exit(_exit, _originals[0])
        _is_hooked = False


def _replace_exit(present: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Replace ``sys.exit``, also where the script has it by ``from sys import exit``."""
    for names in (vars(sys), vars(sys.modules["__main__"])):
        names.update((name, other) for name, value in list(names.items()) if value is present)

"""The signals with which a scheduler announces the end of a job. The user's own handling of them does not change.

Our handlers are installed when the first row is recorded, in the main thread, and only where a signal has its default
action or a Python handler. They do what would happen without them: they call the user's handler, or end the process by
the default action, once the recorded rows are sealed or after ``SEAL_SECONDS``.

A handler may interrupt the recorder anywhere, even where it holds a lock. So it does nothing itself: it sends a message
to a thread, and waits for it for a limited time. Through the interpreter's wakeup descriptor the same thread notices a
signal at once, even when the main thread is stuck in C, waiting for a device or for another rank, where no Python
handler can run. Then it does what the handler would have done.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from neurockt.store.owner.process import leave_signals_to_others

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.ending import Watch

SIGNALS: Final = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1", "SIGUSR2"))
"""SIGTERM ends a job, at its time limit and when it is preempted. With ``--signal`` a job is warned by the others."""
SEAL_SECONDS: Final = 5.0
"""A signal that ends the process is delayed by at most this."""
NOTE_SECONDS: Final = 1.0
"""The user's own handler is delayed by at most this, while the signal is written down."""
STUCK_SECONDS: Final = 1.0
"""A main thread that has not reached its handler by then is stuck in C."""
POKE_SECONDS: Final = 0.1
"""One that has not by then may be blocked, while another thread received the signal."""
POLL_SECONDS: Final = 0.25
"""How often to check whether the user has replaced our handlers."""
OUTLIVED_SECONDS: Final = 3600.0
"""A run that goes on for this long after a signal was not ended by it."""
LIMIT_SECONDS: Final = {signal.SIGTERM: 120.0}
"""A signal this close to the job's end announces the time limit; SLURM sends SIGTERM at the limit itself."""
WARNING_SECONDS: Final = 900.0
"""The same for the other signals, which SLURM sends as early as the user asked for."""

_FATAL: Final = 0x80
_NOTED: Final = 0x40
_DEFERRED: Final = 0xC0
"""Added to the signal's number in a message: it ends the process, it does not, or it will end it soon."""


def listen(listener: Watch) -> None:
    """Notify the listener of signals, until ``forget``. The first listener must come from the main thread."""
    global _installed
    if _installed is None and threading.current_thread() is threading.main_thread():
        with contextlib.suppress(ValueError, OSError):  # not the main interpreter
            _installed = _Handlers()
    if _installed is not None:
        _installed.listeners.append(listener)


def forget(listener: Watch) -> None:
    """Stop notifying this listener; after the last one the signals are as they were before."""
    global _installed
    if _installed is not None and listener in _installed.listeners:
        _installed.listeners.remove(listener)
        if not _installed.listeners:
            installed, _installed = _installed, None
            installed.close()


def signal_since(monotonic: float) -> str | None:
    """The name of the latest signal, or ``time limit``, if it arrived after that moment and not too long ago."""
    if _latest is None or _latest[1] < monotonic or time.monotonic() - _latest[1] > OUTLIVED_SECONDS:
        return None
    return _latest[0]


def _note_signal(signum: int) -> None:
    global _latest
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    within = LIMIT_SECONDS.get(signal.Signals(signum), WARNING_SECONDS)
    at_limit = end.isascii() and end.isdecimal() and -within < int(end) - time.time() < within
    _latest = "time limit" if at_limit else signal.Signals(signum).name, time.monotonic()


class _Handler:
    def __init__(self, signum: int, previous: Any) -> None:
        self.previous = previous
        self._signum = signum

    def __call__(self, signum: int, frame: FrameType | None) -> Any:
        installed, previous = _installed, self.previous
        fatal = self.is_fatal()
        if installed is not None:
            installed.handle(signum, fatal)
        elif fatal:
            _die(signum)
        return previous(signum, frame) if callable(previous) else None

    def is_fatal(self) -> bool:
        """Whether the signal ends the process. A handler that replaced ours and calls it decides that for itself."""
        return self.previous is signal.SIG_DFL and signal.getsignal(self._signum) is self


class _Handlers:
    """The handlers, and the thread that they notify, while there are listeners."""

    def __init__(self) -> None:
        self.listeners: list[Watch] = []
        self._handlers: dict[int, _Handler] = {}
        self._dying = False
        self._main = threading.get_ident()
        self._waiting: deque[threading.Lock] = deque()  # each held by a handler that waits for its release
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        for signum in SIGNALS:
            self._install(signum)
        earlier = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        if earlier != -1:
            signal.set_wakeup_fd(earlier)  # somebody else's, such as asyncio's: only the handlers notify the thread
        self._is_closed = False
        self._thread = _start(self._run)

    # In the main thread

    def _install(self, signum: int) -> None:
        previous = signal.getsignal(signum)
        while isinstance(previous, _Handler):  # left over from an earlier run
            previous = previous.previous
        self._handlers.pop(signum, None)
        if previous is None or previous is signal.SIG_IGN or (previous is signal.SIG_DFL and _is_handled_in_c(signum)):
            return  # ignored, or a handler in C, which cannot be called from here
        handler = _Handler(signum, previous)
        signal.signal(signum, handler)
        self._handlers[signum] = handler

    def install(self) -> None:
        """Replace the handlers by which the user has replaced ours."""
        if self is not _installed or threading.current_thread() is not threading.main_thread():
            return
        for signum in list(self._handlers):
            if self._is_replaced(signum):
                self._install(signum)

    def _is_replaced(self, signum: int) -> bool:
        return signal.getsignal(signum) is not self._handlers[signum]

    def handle(self, signum: int, fatal: bool) -> None:
        """A handler has been called. Does not return if the signal ends the process, unless a recorder is busy."""
        _note_signal(signum)
        if self._dying:
            return
        busy = next((each.session for each in self.listeners if each.session.interruptions.is_busy), None)
        if fatal and busy is not None:
            busy.interruptions.defer(partial(signal.raise_signal, signum))
            self._send(signum | _DEFERRED)
            return
        self._dying = fatal
        done = threading.Lock()
        done.acquire()
        self._waiting.append(done)
        self._send(signum | (_FATAL if fatal else _NOTED))
        try:
            done.acquire(timeout=SEAL_SECONDS if fatal else NOTE_SECONDS)
        finally:
            if fatal:
                _die(signum)

    def _send(self, message: int) -> None:
        with contextlib.suppress(OSError):  # full: the thread has enough messages
            os.write(self._writing, bytes([message]))

    def close(self) -> None:
        """Restore the signals, and end the thread. Only the main thread can: another has it do so at its next bytecode.

        Until then the handlers do what would happen without them.
        """
        if threading.current_thread() is not threading.main_thread():
            _in_main_thread(self.close)
            return
        self._restore()
        self._is_closed = True
        self._send(0)
        self._thread.join(SEAL_SECONDS)
        os.close(self._reading)
        os.close(self._writing)

    def disown(self) -> None:
        self._restore()
        os.close(self._reading)
        os.close(self._writing)

    def _restore(self) -> None:
        for signum, handler in self._handlers.items():
            if not self._is_replaced(signum):
                signal.signal(signum, handler.previous)
        earlier = signal.set_wakeup_fd(-1)
        if earlier not in (-1, self._writing):
            signal.set_wakeup_fd(earlier)

    # In the thread

    def _run(self) -> None:
        leave_signals_to_others()
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        due: dict[int, float] = {}  # when the main thread must have reached its handler
        poked: set[int] = set()
        while not self._is_closed:
            arrived = poll.poll(1000 * (POKE_SECONDS if due else POLL_SECONDS))
            for message in os.read(self._reading, 256) if arrived else b"":
                if message & 0x3F in self._handlers:
                    self._receive(message & 0x3F, message & 0xC0, due, poked)
            for signum in [signum for signum, moment in due.items() if time.monotonic() >= moment]:
                fatal = self._handlers[signum].is_fatal() if signum in self._handlers else None
                if fatal and signum not in poked:
                    poked.add(signum)
                    due[signum] = time.monotonic() + STUCK_SECONDS
                    signal.pthread_kill(self._main, signum)  # it may be blocked, and another thread got the signal
                    continue
                del due[signum]
                poked.discard(signum)
                if fatal is not None and not self._dying:
                    self._act_alone(signum, fatal)
            if any(self._is_replaced(signum) for signum in list(self._handlers)):
                for listener in list(self.listeners):
                    listener.session.interruptions.defer(self.install)

    def _receive(self, signum: int, kind: int, due: dict[int, float], poked: set[int]) -> None:
        if kind == _FATAL:
            self._do(lambda listener: listener.end(), SEAL_SECONDS)
            self._waiting.popleft().release()
        elif kind == _NOTED:
            due.pop(signum, None)
            self._do(lambda listener: listener.note(), NOTE_SECONDS)
            self._waiting.popleft().release()
        elif kind == _DEFERRED:
            if signum not in poked:
                due[signum] = time.monotonic() + SEAL_SECONDS
            poked.add(signum)  # the main thread has handled it
        else:
            due.setdefault(signum, time.monotonic() + POKE_SECONDS)

    def _act_alone(self, signum: int, fatal: bool) -> None:
        """The main thread is stuck: do what its handler would do."""
        _note_signal(signum)
        self._do(lambda listener: listener.note(), SEAL_SECONDS)
        if fatal and not self._dying:
            ctypes.CDLL(None).signal(signum, 0)  # what signal.signal does, which only the main thread may call
            os.kill(os.getpid(), signum)

    def _do(self, action: Callable[[Watch], None], seconds: float) -> None:

        def do() -> None:
            for listener in list(self.listeners):
                with contextlib.suppress(Exception):  # the process may be dying: there is nobody to report to
                    action(listener)

        try:
            _start(do).join(seconds)
        except RuntimeError:  # no more threads: the system's limit, or Python 3.12.1 exits
            do()


_installed: _Handlers | None = None
_latest: tuple[str, float] | None = None


def _start(target: Callable[[], None]) -> threading.Thread:
    from neurockt.store.writing.run_writer import THREAD_NAME

    thread = threading.Thread(target=target, name=THREAD_NAME, daemon=True)
    thread.start()
    return thread


_CALL: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_calls: list[Any] = []  # the interpreter does not keep them alive


def _in_main_thread(action: Callable[[], None]) -> None:
    """Have the main thread do this, wherever it is in Python."""

    def call(_: object) -> int:
        with contextlib.suppress(Exception):
            action()
        return 0

    _calls.append(_CALL(call))
    ctypes.pythonapi.Py_AddPendingCall(_calls[-1], None)


def _die(signum: int) -> None:
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def _is_handled_in_c(signum: int) -> bool:
    """Whether a signal without a Python handler has one in C, such as faulthandler's."""
    action = (ctypes.c_void_p * 32)()  # larger than a ``struct sigaction``, which begins with the handler
    try:
        return bool(ctypes.CDLL(None).sigaction(int(signum), None, action) == 0 and action[0])
    except (AttributeError, OSError):
        return False


_forking = threading.local()


def _before_fork() -> None:
    """Block signals: a child that receives one before its handlers are removed would notify the parent's thread."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if _installed is not None else None


def _after_fork() -> None:
    if _forking.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child() -> None:
    """A child has its parent's handlers and none of its threads: restore the signals."""
    global _installed, _latest
    installed, _installed, _latest = _installed, None, None
    if installed is not None:
        installed.disown()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)

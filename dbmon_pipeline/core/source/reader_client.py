"""The client of the reader process, in which everything that touches the source happens.

A crash of the engine over a block that its owner overwrote, and a descriptor whose closing would
drop the owner's lock, stay in that process. It never outlives the one that started it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakSet

from msgspec import UNSET

from dbmon_pipeline.core.common.errors import ReaderDiedError, ReaderError
from dbmon_pipeline.core.source.reader_child import Child, ChildEndedError, death
from dbmon_pipeline.core.source.reader_protocol import Request, encode_line, rebuild_error

_MODULE = "dbmon_pipeline.core.reader"
_CLOSING_SECONDS = 1.0
_KILL_AGAIN_SECONDS = 0.05


class ReaderProcess(AbstractContextManager["ReaderProcess"]):
    """A reader process: started when it is needed, and again after it died.

    Threads may share it; it works on one request at a time. A child that this process forks gets a
    reader process of its own.

    Attributes:
        is_closed: Whether it was closed, so that it answers no more.
    """

    def __init__(self, *, inherit: Sequence[int] = (), module: str = _MODULE) -> None:
        """Start nothing yet.

        Args:
            inherit: Descriptors that it inherits, such as a lock file's. A lock of flock(2) then
                lasts as long as either process has it open: to let it go earlier, unlock it.
            module: The module that runs as the reader process.
        """
        self._inherit = tuple(inherit)
        self._module = module
        self._last_id = 0
        self.is_closed = False
        self._is_asking = False
        self._child: Child | None = None
        self._lock = threading.RLock()
        _instances.add(self)

    def __exit__(self, *_: object) -> None:
        """Close the process."""
        self.close()

    def start(self) -> None:
        """Start the process unless it runs, without waiting until it is ready.

        Raises:
            ReaderError: It cannot be started, or was closed.
        """
        if self._lock.acquire(blocking=False):  # else it works on a request, so it runs
            try:
                self._running()
            finally:
                self._lock.release()

    def request(
        self,
        name: str,
        params: Mapping[str, object] | None = None,
        *,
        progress: Callable[[str], None] | None = None,
        retries: int = 0,
    ) -> Any:  # noqa: ANN401 - whatever the handler answers
        """Have the process answer a request, and start it if it does not run.

        Args:
            name: The name of the request.
            params: Its parameters, as JSON has them.
            progress: Called in this thread with each message about progress; it must make no
                request itself. If it raises, the process is killed.
            retries: How often to repeat the request in a new process after the process died.

        Raises:
            DbmonError: Whatever the handler raised, in its class.
            ReaderError: The handler failed in another way, the process cannot be started, or was
                closed.
            ReaderDiedError: The process died, and did so at each repetition.
        """
        with self._turn():
            while True:
                try:
                    return self._ask(name, dict(params or {}), progress)
                except ReaderDiedError:
                    if retries <= 0:
                        raise
                    retries -= 1

    def close(self) -> None:
        """End the process, for good; one that works on a request is killed."""
        self.is_closed = True
        while not self._lock.acquire(timeout=_KILL_AGAIN_SECONDS):
            self._kill()
        try:
            if self._is_asking:  # called by the progress callback
                self._kill()
            else:
                self._end_child(_CLOSING_SECONDS)
        finally:
            self._lock.release()

    def leave_to_parent(self) -> None:
        """Let go of the process, which belongs to the parent that forked this one."""
        if self._child:
            self._child.leave_to_parent()
        self._child = None
        self._is_asking = False
        self._lock = threading.RLock()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other thread makes a request."""
        with self._lock:
            if self._is_asking:
                raise RuntimeError("a progress callback must not make a request")
            self._is_asking = True
            try:
                yield
            finally:
                self._is_asking = False
                if self.is_closed:
                    self._end_child(0)

    def _running(self) -> Child:
        """Get the process, started if it does not run."""
        if self.is_closed:
            raise ReaderError("the reader process was closed", remedy="start the command again")
        if self._child and self._child.process.poll() is not None:
            self._end_child(0)
        if not self._child:
            self._child = Child(self._module, self._inherit)
        return self._child

    def _ask(
        self,
        name: str,
        params: dict[str, Any],
        progress: Callable[[str], None] | None,
    ) -> Any:  # noqa: ANN401 - whatever the handler answers
        """Send a request and wait for its answer; a process that is left in the middle is killed.

        Raises:
            ReaderDiedError: The process ended before it had answered.
        """
        self._last_id += 1
        number = self._last_id
        line = _encoded(Request(number, name, params))
        child = self._running()
        try:
            child.send(line)
            while True:
                reply = child.receive()
                if reply.progress is UNSET:
                    break
                if progress and reply.id == number:  # a thread of a handler may be late
                    progress(str(reply.progress))
        except ChildEndedError:
            raise death(name, self._end_child(_CLOSING_SECONDS)) from None
        except BaseException:
            self._end_child(0)
            raise
        if reply.error is not UNSET:
            raise rebuild_error(reply.error)
        return reply.result

    def _kill(self) -> None:
        child = self._child
        if child:
            child.process.kill()

    def _end_child(self, patience_seconds: float) -> int | None:
        """End the process if there is one, and tell its exit code."""
        child, self._child = self._child, None
        return child.end(patience_seconds) if child else None


def shared_reader() -> ReaderProcess:
    """Get the one reader process of this process, closed when it exits.

    A command starts it before its slow imports; later code gets the same one. After it was closed
    there is another one.
    """
    global _shared
    with _shared_lock:
        if _shared.is_closed:
            _shared = ReaderProcess()
        return _shared


def _encoded(request: Request) -> bytes:
    try:
        return encode_line(request)
    except UnicodeEncodeError as error:
        raise ReaderError(
            f"{request.request} cannot be asked about a name that is not UTF-8 ({error.object!a})",
            remedy="rename that file or folder",
        ) from None


def _after_fork_in_child() -> None:
    for instance in list(_instances):
        instance.leave_to_parent()
    _shared_lock.release()


_instances: WeakSet[ReaderProcess] = WeakSet()
_shared = ReaderProcess()
_shared_lock = threading.Lock()
atexit.register(lambda: _shared.close())
os.register_at_fork(
    before=_shared_lock.acquire,
    after_in_parent=_shared_lock.release,
    after_in_child=_after_fork_in_child,
)

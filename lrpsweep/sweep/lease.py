"""One driver at a time: the lease that a run holds in the study's database.

What is guaranteed: of all drivers that ask at once exactly one gets the lease (an atomic
compare-and-swap in the database). A driver that lost it notices before its next write; a write
that had begun at that moment may still land, and does no harm, since a trial's result depends on
its parameters alone and a finished trial cannot be told again.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

from lrpsweep.errors import InputError, WorkError
from lrpsweep.sweep.storage import Store

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


class LeaseLostError(WorkError):
    """Another driver has taken the study over; this one has stopped writing."""


@dataclass(frozen=True)
class Lease:
    """Who holds a study. beat: when the holder was last heard of, by its clock; 0: given back."""

    host: str
    pid: int
    token: str
    beat: float

    @property
    def free(self) -> bool:
        """Given back, silent for too long, or held by a process of this machine that is gone."""
        silent = time.time() - self.beat > STALE_SECONDS
        return silent or (self.host == socket.gethostname() and not _alive(self.pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def hold(store: Store, *, takeover: bool = False) -> Iterator[None]:
    """Holds the study's lease; writes through `store` raise LeaseLostError once it is lost.

    Raises InputError that names the holder when another driver has it. takeover: take it anyway.
    """
    lease = _acquire(store, takeover)
    stopped = threading.Event()
    beating = threading.Thread(target=_beat, args=(store, lease, stopped), daemon=True)
    store.guard = lambda: _check(store, lease)
    beating.start()
    try:
        yield
    finally:
        stopped.set()
        beating.join()
        _give_back(store, lease)


def holder(store: Store) -> Lease | None:
    """Who holds the study now, or None."""
    text = store.lease()
    lease = None if text is None else Lease(**json.loads(text))
    return None if lease is None or lease.free else lease


def _acquire(store: Store, takeover: bool) -> Lease:
    mine = Lease(socket.gethostname(), os.getpid(), secrets.token_hex(8), time.time())
    while True:
        text = store.lease()
        held = holder(store)
        if held is not None and not takeover:
            raise InputError(
                f"study '{store.name}' is being run by process {held.pid} on {held.host}, heard of "
                f"{time.time() - held.beat:.0f} s ago; expected no other driver. Wait for it, stop "
                "it, or take the study over with --takeover."
            )
        if store.swap_lease(text, _text(mine)):
            return mine


def _check(store: Store, mine: Lease) -> None:
    current = Lease(**json.loads(store.lease() or "{}"))
    if current.token != mine.token:
        raise LeaseLostError(
            f"study '{store.name}' was taken over by process {current.pid} on {current.host}; "
            "this run has stopped, and nothing that it had finished is lost."
        )


def _beat(store: Store, mine: Lease, stopped: threading.Event) -> None:
    """Renews the lease until stopped, or until it is another's."""
    while not stopped.wait(BEAT_SECONDS):
        # A database that is away for a moment is the next write's concern, not the heart's.
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            if not _renew(store, mine, time.time()):
                return


def _give_back(store: Store, mine: Lease) -> None:
    with contextlib.suppress(sa.exc.SQLAlchemyError):
        _renew(store, mine, 0.0)


def _renew(store: Store, mine: Lease, beat: float) -> bool:
    text = store.lease()
    if text is None or json.loads(text)["token"] != mine.token:
        return False
    return store.swap_lease(text, _text(replace(mine, beat=beat)))


def _text(lease: Lease) -> str:
    return json.dumps(asdict(lease))

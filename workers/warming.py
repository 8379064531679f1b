"""Warming: what the first attempts of a process would have to load is loaded before it says that it is there.

Otherwise all that was granted while it loads, begins at once: a burst that no pacing at the grant can know of.
"""

import logging
from collections.abc import Iterable

from contracts.failures import HandlerFailure
from contracts.lanes import Lane
from workers.attempts import handler
from workers.settings import WorkerSettings
from workers.vendors.access import vendors_for

log = logging.getLogger(__name__)


def warm_up(lanes: Iterable[Lane], accounts: Iterable[tuple[str, str]], settings: WorkerSettings) -> None:
    """Loads the lanes' handlers and the clients of the vendors they ask. What cannot be had is left for the
    attempt that needs it, which says so."""
    for lane in lanes:
        for operation in lane.operations.values():
            try:
                handler(operation.handler)
            except Exception as error:  # it may be anybody's code
                log.warning("lane %s: %s cannot be loaded: %s", lane.lane, operation.handler, error)
    asked = {lane.model.vendor for lane in lanes if lane.model}
    for vendor, account in accounts:
        if vendor in asked:
            try:
                vendors_for(settings).vendor(vendor, account)
            except HandlerFailure as unavailable:
                log.info("%s/%s: %s", vendor, account, unavailable)
            except (
                Exception
            ) as error:  # a proxy or a certificate of the environment that its client cannot use
                log.warning("%s/%s: its client cannot be made: %s", vendor, account, error)

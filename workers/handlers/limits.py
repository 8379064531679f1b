"""The handler of the lane that asks what vendors allow: one account, with a key that can do nothing else for us."""

from contracts.account_limits import AccountLimits
from contracts.failures import Code
from workers.task import Task
from workers.vendors.access import vendors_for
from workers.vendors.port import VendorFailure


def read(task: Task) -> AccountLimits:
    """The limits of the account that the handoff names, as ``vendor/account``. A key that may not read them is an
    answer too: asking again changes nothing. Raises HandlerFailure for anything else that keeps the vendor from
    telling."""
    vendor, _, account = str(task.item("account").value).partition("/")
    client, simulated = vendors_for(task.settings).limits(vendor, account)
    try:
        allowed = client.read(task.attempt)
    except VendorFailure as failure:
        if failure.failure.code is not Code.UNAUTHORISED:
            raise
        refused = f"its key does not allow to read limits: {failure.failure.sentence}"
        return AccountLimits(vendor=vendor, account=account, simulated=simulated, refused=refused)
    return AccountLimits(vendor=vendor, account=account, simulated=simulated, allowed=allowed)

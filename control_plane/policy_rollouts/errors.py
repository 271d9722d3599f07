"""Why a rollout was not taken, cannot go on, or does not let the policy in force be changed."""

from __future__ import annotations

from control_plane.policy_admin.errors import PolicyRejectedError
from edgewise.wire.errors import BadRequestError, ConflictError, EdgewiseError, ForbiddenError, NotFoundError
from policies.rollout import Refusal, Step

_REMEDIES = {
    Refusal.OWN_APPROVAL: "have another operator approve it, with a key of their own",
    Refusal.SECOND_APPROVAL: "have another operator approve it, too",
}


class RolloutRejectedError(PolicyRejectedError):
    """The document has errors; `problems` lists every one with line and column."""

    what = "rollout"


class RolloutNotFoundError(NotFoundError):
    """There is no such rollout."""

    def __init__(self, rollout_id: int) -> None:
        super().__init__(
            f"There is no policy rollout {rollout_id}",
            remedy="list them: `edgewise policy rollout list` or /admin/v1/policy-rollouts",
        )


class RolloutOpenError(ConflictError):
    """A rollout is under way: until its end, nothing else decides which policy is in force."""

    def __init__(self, rollout_id: int, name: str) -> None:
        super().__init__(
            f"The policy rollout {rollout_id} ({name[:60]}) is open: until its end, it alone changes what is in force",
            where=f"policy rollout {rollout_id}",
            expected="no open rollout; versions can be saved at any time",
            remedy=f"wait until it is done, or end it: `edgewise policy rollout roll-back {rollout_id}`",
        )


class CandidateError(BadRequestError):
    """The version that the document names cannot be rolled out."""


class RolloutRefusedError(ConflictError):
    """It cannot be done as the rollout stands."""


class OwnApprovalError(ForbiddenError):
    """Who asked for a rollout cannot approve it, unless the plan lets them."""


class RolloutDamagedError(EdgewiseError):
    """What is stored of a rollout cannot be used: it goes no further, and the old policy decides for everybody."""

    number, code, http_status = 1709, "policy_rollout_damaged", 409

    def __init__(self, rollout_id: int, why: str) -> None:
        super().__init__(
            f"The stored policy rollout {rollout_id} cannot be used: {why}",
            where=f"policy rollout {rollout_id}",
            expected="a plan and a state that this release wrote",
            remedy=f"end it: `edgewise policy rollout roll-back {rollout_id}`; until then the old policy decides",
        )


def refused(rollout_id: int, step: Step) -> EdgewiseError:
    """The error of a step that was refused."""
    code = step.refused or Refusal.NOT_NOW
    kind = OwnApprovalError if code is Refusal.OWN_APPROVAL else RolloutRefusedError
    remedy = _REMEDIES.get(code, f"see how it stands: `edgewise policy rollout show {rollout_id}`")
    return kind(step.reason[:1].upper() + step.reason[1:], where=f"policy rollout {rollout_id}", remedy=remedy)

"""The deployments of a LiteLLM config: whose group they are, where they run, how they share it, and their limits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from policies.interchange.foreign import Foreign, under
from policies.interchange.tiers import Target, target_of
from policies.modes import Mode
from policies.source import Located

MOST_TOKENS: Final = 10**9
_PARAMS: Final = ("model", "weight", "rpm", "tpm", "order", "tags", "timeout", "stream_timeout", "max_tokens")
_MOST: Final = 5000
_REACHED: Final = "how a model is reached belongs to the upstream"
_PARAMS_LEFT_OUT: Final = {
    **dict.fromkeys(("api_key", "api_base", "api_version", "base_url", "organization", "region_name"), _REACHED),
    "tag_regex": "no fact holds a header",
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`.

    weights: `weight`, `rpm` and `tpm`, in the order in which a shuffle looks at them. order: low ones are tried first.
    window: tokens that its context holds. timeout_s, first_token_s, max_tokens: of its answers.
    """

    group: str
    target: Target
    weights: tuple[float | None, float | None, float | None]
    order: int
    tags: tuple[str, ...]
    window: int | None
    timeout_s: float | None
    first_token_s: float | None
    max_tokens: int | None
    path: str
    node: Located


def read_deployments(foreign: Foreign, node: Located | None, edge_providers: Collection[str]) -> list[Deployment]:
    """The entries of `model_list` that name a group and a model; what is wrong with others is noted."""
    items = foreign.items(node, _MOST, "models")
    found = [_deployment(foreign, item, f"model_list[{at}]", edge_providers) for at, item in enumerate(items)]
    return [each for each in found if each is not None]


def _deployment(foreign: Foreign, node: Located, path: str, edge_providers: Collection[str]) -> Deployment | None:
    fields = foreign.known(node, path, ("model_name", "litellm_params", "model_info", "rpm", "tpm"))
    inner = under(path, "litellm_params")
    params = (
        foreign.known(fields["litellm_params"], inner, _PARAMS, _PARAMS_LEFT_OUT) if "litellm_params" in fields else {}
    )
    info_path = under(path, "model_info")
    info = foreign.known(fields["model_info"], info_path, ("max_input_tokens",)) if "model_info" in fields else {}
    group, model = foreign.text(fields.get("model_name")), foreign.text(params.get("model"))
    if not group or not model:
        foreign.tell("missing-key", "a model has a model_name and litellm_params.model", node)
        return None
    numbers = [foreign.number(params.get(key) or fields.get(key), 0.0, 1e15) for key in ("weight", "rpm", "tpm")]
    order = foreign.whole(params.get("order"), -1000, 1000)
    tags = [foreign.text(tag) for tag in foreign.items(params.get("tags"), 100, "tags")]
    return Deployment(
        group,
        _target(foreign, model, under(inner, "model"), params["model"], edge_providers),
        (numbers[0], numbers[1], numbers[2]),
        0 if order is None else order,
        tuple(tag for tag in tags if tag),
        foreign.whole(info.get("max_input_tokens"), 1, MOST_TOKENS),
        foreign.number(params.get("timeout"), 0.0, 1e9),
        foreign.number(params.get("stream_timeout"), 0.0, 1e9),
        foreign.whole(params.get("max_tokens"), 1, MOST_TOKENS),
        path,
        node,
    )


def _target(foreign: Foreign, model: str, path: str, node: Located, edge_providers: Collection[str]) -> Target:
    """Of `provider/model`; a star keeps the model that was asked for."""
    provider, slash, rest = model.partition("/")
    target = target_of(provider, rest, edge_providers) if slash else Target(Mode.CLOUD, model)
    if "*" in model:
        foreign.skip(path, node, "the model that was asked for is kept; of the provider only its tier is known")
        return Target(target.mode)
    return target

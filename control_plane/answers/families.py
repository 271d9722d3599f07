"""The model names that clients may ask for: one for the whole family, one for each model and each upstream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from control_plane.upstreams.speech import Tokens
from edgewise.api.host import Family
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.errors import ConfigError, UnknownModelError
from edgewise.wire.manifest import load_manifest

FAMILY_NAME = "edgewise"


def load_families(models: Iterable[Path], upstream_models: Mapping[str, int | None]) -> dict[str, Family]:
    """Read names, tokenizers and context sizes from the model directories; a model's name is its manifest's.

    The name `edgewise` stands for all of them together, so they must share tokenizer and template. The models of
    upstreams tell how many tokens they read (0: as many as the models here) if they share them, too: then their prompts
    are made into ids here. None: they do not.
    Raises ModelMissingError, ModelDigestError, ConfigError.
    """
    families: dict[str, Family] = {}
    for directory in models:
        manifest = load_manifest(directory, verify=False)
        families[manifest.name] = Family(manifest.name, ChatTokenizer.load(directory), manifest.context_tokens)
    _require_one_tokenizer(families)
    own = list(families.values())
    shared = min(own, key=lambda family: family.context_tokens, default=None)
    for name, context_tokens in upstream_models.items():
        family = Family(name, None, 0)
        if shared and context_tokens is not None:
            family = Family(name, shared.tokenizer, context_tokens or shared.context_tokens)
        families.setdefault(name, family)
    if shared:
        families = {FAMILY_NAME: Family(FAMILY_NAME, shared.tokenizer, shared.context_tokens)} | families
    return families


def shared_tokens(families: Mapping[str, Family]) -> Tokens | None:
    """The tokenizer that all models here share, and how many tokens each of them reads; None without models."""
    shared = families.get(FAMILY_NAME)
    if shared is None or shared.tokenizer is None:
        return None
    return Tokens(shared.tokenizer, shared.context_tokens)


def _require_one_tokenizer(families: Mapping[str, Family]) -> None:
    digests = {
        (family.tokenizer.digest, family.tokenizer.template_digest) for family in families.values() if family.tokenizer
    }
    if len(digests) > 1:
        raise ConfigError(
            "The configured models do not share one tokenizer and one chat template",
            where=", ".join(families),
            expected="models of one family, so that an answer can be handed over by token ids",
            remedy="configure an edge and a cloud model that were made together",
        )


def find_family(families: Mapping[str, Family], model: str) -> Family:
    """The family by name. Raises UnknownModelError naming those that exist."""
    family = families.get(model)
    if family is None:
        raise UnknownModelError(
            f"There is no model {model[:80]!r} here",
            where="model",
            expected=f"one of {', '.join(families) or 'none: no model is configured'}",
            remedy="ask GET /v1/models",
        )
    return family

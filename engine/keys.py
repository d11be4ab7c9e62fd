"""The content address of one step of one item, and the seeds that follow from identities.

A key is the sha256 of canonical JSON of everything that can change the result: a Merkle chain over
the keys of the inputs. Excluded on purpose: worker, paths, batch size, device index, retries.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.dag import Json, ModelInfo, Step
from engine.jobs import FromPhoto, FromScalar
from engine.op import Members

#: Raise it when the meaning of keys changes: every cached value of older epochs is a miss.
EPOCH = 1

Components = Mapping[str, Any]

_text = json.encoder.encode_basestring_ascii
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: Json) -> str:
    """Write JSON in its one canonical form: sorted keys, no spaces, ASCII (odd names too)."""
    return _ENCODER.encode(value)


def digest(value: Json) -> str:
    """sha256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def scalar_key(value: Json) -> str:
    """The key of a value known without computing."""
    return f"value:{canonical(value)}"


def model_key(info: ModelInfo) -> str:
    """What of a declared model can change a result: its content and how it is computed."""
    exact = info.precision == "fp32"
    return info.digest if exact else f"{info.digest}:{info.precision}"


def photo_key(content_digest: str) -> str:
    """The key of a picture file."""
    return f"photo:{content_digest}"


def source_key(origin: FromPhoto | FromScalar) -> str:
    """The key of what comes from no step."""
    if isinstance(origin, FromPhoto):
        return photo_key(origin.digest)
    return scalar_key(origin.value)


def port_key(item_key: str, port: str) -> str:
    """The key of one port of an item."""
    return f"{item_key}.{port}"


def seed_for(given: Json, op: str, identities: Sequence[str]) -> int:
    """Resolve a seed setting for one item.

    None: from the op and the identities of the source items on the item's axes, so that no matrix
    axis and no upstream setting changes it. A number is mixed with these. {shared: n} is n itself.
    """
    if isinstance(given, dict):
        return int(given["shared"])
    return int(digest([op, given, list(identities)])[:15], 16)


def key_of(told: Components) -> str:
    """The key that an item's components make."""
    rest = {name: value for name, value in told.items() if name != "wires"}
    return join(canonical(rest), told["wires"])


def join(rest: str, wires: Mapping[str, Sequence[str]]) -> str:
    """The key of an item: of all other components as canonical JSON, and of what it reads.

    It is the digest of them all; no component's name comes after that of the wires.
    """
    told = ",".join(
        f"{_text(name)}:[{','.join(map(_text, wires[name]))}]" for name in sorted(wires)
    )
    return hashlib.sha256(f'{rest[:-1]},"wires":{{{told}}}}}'.encode()).hexdigest()


def components(
    step: Step,
    *,
    wires: Mapping[str, Sequence[str]],
    settings: Mapping[str, Json],
    seeds: Mapping[str, int],
    captions: Mapping[str, Sequence[str]],
    members: Members | None,
    models: Mapping[str, str],
    numerics: str,
) -> dict[str, Any]:
    """Gather what goes into an item's key, named so that two of them can be compared.

    `settings` have asset names already replaced by digests; `models` are digests by slot.
    """
    op = step.op
    found: dict[str, Any] = {
        "epoch": EPOCH,
        "op": op.name,
        "version": op.options.version,
        "settings": settings,
        "wires": {name: list(keys) for name, keys in wires.items()},
    }
    if op.source_digest:
        found["code"] = op.source_digest
    if seeds:
        found["seeds"] = seeds
    if captions:
        found["captions"] = {name: list(texts) for name, texts in captions.items()}
    if members is not None:
        found["members"] = [list(members.shape), [list(i) for i in members.index]]
    if models:
        found["models"] = models
        found["numerics"] = numerics
    return found


def difference(old: Components, new: Components, path: str = "") -> tuple[str, Json, Json] | None:
    """Name the first part in which two keys' components differ, with both values."""
    for name in sorted({*old, *new}):
        here = f"{path}.{name}" if path else name
        a, b = old.get(name), new.get(name)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            return difference(a, b, here)
        return here, a, b
    return None

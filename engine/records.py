"""What the store knows of one key: its outcome, its scalars, and where its payload lies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine.errors import Reason
from engine.values import ScalarItem


@dataclass(frozen=True, slots=True)
class Blob:
    """Where one port's bytes lie in a pack, and their sha256 (hex)."""

    offset: int
    length: int
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """What one key produced. Empty `pack`: known, but the payload is gone (or never was stored).

    It failed with a reason when the item was set aside, without one when the op skipped it.
    `scalars` are the small ports, held here instead of in the pack.
    """

    key: str
    status: Literal["ok", "failed"] = "ok"
    reason: Reason | None = None
    message: str = ""
    seconds: float = 0.0
    ports: Mapping[str, Blob] = field(default_factory=dict)
    scalars: Mapping[str, ScalarItem] = field(default_factory=dict)
    pack: str = ""

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return sum(blob.length for blob in self.ports.values())

    @property
    def readable(self) -> bool:
        """Whether everything it produced can be had without computing (failures included)."""
        return bool(self.pack) or not self.ports

    def has(self, port: str) -> bool:
        """Whether one port's value can be had without computing."""
        return port in self.scalars or (bool(self.pack) and port in self.ports)


class Fate(NamedTuple):
    """The least that is worth knowing of a record: whether it succeeded, its cost, its pack."""

    ok: bool
    seconds: float
    pack: str

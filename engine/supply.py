"""The inputs of jobs: from this chunk's own results, the store, a picture file, or the driver."""

import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.calling import Ports, model_network
from engine.codecs import decode
from engine.dag import ModelInfo, Step
from engine.jobs import Chunk, FromItem, FromPhoto, FromScalar, Input, ItemId, Job, Lost, Program
from engine.records import Record
from engine.store import read_port
from engine.values import Image, Network, Scalar, ScalarItem, Value

#: Decoded photos kept for steps that read the same one again.
PHOTO_BYTES = 256 << 20
DEVICE_VARIABLE = "LATENTLOOM_DEVICE"


class PayloadGoneError(Exception):
    """The store no longer has a value that its index promised."""

    def __init__(self, item: ItemId, key: str, pack: str = "") -> None:
        super().__init__(f"{item[0]} {item[1]}: {key}")
        self.lost = Lost(item, key, pack)


def within(inputs: Iterable[Input]) -> Iterator[ItemId]:
    """The items of the same chunk among some inputs."""
    for source in inputs:
        if isinstance(source, FromItem) and source.record is None:
            yield source.item


class Supply:
    """Values at hand in a chunk. One is dropped as soon as nothing in the chunk needs it again."""

    def __init__(self, program: Program, chunk: Chunk) -> None:
        self.device = os.environ.get(DEVICE_VARIABLE, program.device)
        self._root = Path(program.store_root)
        self._values: dict[ItemId, Ports] = {}
        self._photos: OrderedDict[tuple[str, int], Image] = OrderedDict()
        self._photo_bytes = 0
        self._uses = Counter(item for job in chunk.jobs for item in within(job.inputs()))
        self._uses.update(within(export.source for export in chunk.exports))

    def keep(self, item: ItemId, ports: Ports) -> None:
        """Take a finished item in, if something still wants it."""
        if self._uses[item]:
            self._values[item] = ports

    def release(self, inputs: Iterable[Input]) -> None:
        """Note that one reader of these inputs is done with them."""
        for item in within(inputs):
            self._uses[item] -= 1
            if not self._uses[item]:
                self._values.pop(item, None)

    def get(self, source: Input) -> Value:
        """Make the value of an input.

        Raises: PayloadGoneError; ItemError when a photo cannot be decoded.
        """
        if isinstance(source, FromScalar):
            return Scalar((source.value,))
        if isinstance(source, FromPhoto):
            from engine.photos import read_photo

            if (photo := self.photo(source)) is None:
                photo = read_photo(source.path, source.digest)
                self.keep_photo(source, photo)
            return photo
        if source.record is None:
            if source.item not in self._values:
                raise PayloadGoneError(source.item, "")
            return self._values[source.item][source.port]
        return self._stored(source, source.record)

    def scalar(self, source: Input) -> ScalarItem:
        """Make the number, text or truth value of an input, without reading a payload for it."""
        record = source.record if isinstance(source, FromItem) else None
        if isinstance(source, FromItem) and record and source.port in record.scalars:
            return record.scalars[source.port]
        value = self.get(source)
        assert isinstance(value, Scalar)
        return value.data[0]

    def networks(self, job: Job, step: Step) -> dict[str, Network]:
        """Make the networks of a job's model slots, on this worker's device."""
        device = step.device or self.device
        found: dict[str, Network] = {}
        for slot in step.op.models:
            network: Value | None = None
            if slot in job.networks:
                network = _settled(self.get(job.networks[slot]), step.models[slot].base)
            elif slot in step.models:
                network = model_network(step, slot, device)
            if isinstance(network, Network):
                found[slot] = replace(network, device=device)
        return found

    def _stored(self, source: FromItem, record: Record) -> Value:
        if source.port in record.scalars:
            return Scalar((record.scalars[source.port],))
        payload = read_port(self._root, record, source.port)
        if payload is None:
            raise PayloadGoneError(source.item, record.key, record.pack)
        return decode(payload)

    def photo(self, source: FromPhoto, least_px: int = 0) -> Image | None:
        """A photo that is decoded already, for these needs."""
        name = (source.digest, least_px)
        if name in self._photos:
            self._photos.move_to_end(name)
        return self._photos.get(name)

    def keep_photo(self, source: FromPhoto, photo: Image, least_px: int = 0) -> None:
        """Take a decoded photo in, for steps that read the same one again."""
        self._photos[source.digest, least_px] = photo
        self._photo_bytes += photo.data.nbytes
        while self._photo_bytes > PHOTO_BYTES and len(self._photos) > 1:
            _, old = self._photos.popitem(last=False)
            self._photo_bytes -= old.data.nbytes


def _settled(network: Value, base: ModelInfo | None) -> Value:
    """A network that a step made, with its base where it lies now: a store outlives paths."""
    if isinstance(network, Network) and base is not None and base.family == network.family:
        return replace(network, path=base.path)
    return network

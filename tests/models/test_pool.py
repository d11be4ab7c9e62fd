"""Networks shared by a process."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

import models
from models.pool import Pool, network_bytes
from models.stylegan2 import Generator


def line(width: int = 8) -> nn.Linear:
    return nn.Linear(width, width, bias=False)


def test_a_network_is_loaded_once() -> None:
    pool = Pool(10_000)
    assert pool.get("a", line) is pool.get("a", line)
    assert pool.used_bytes == network_bytes(line()) == 256


def test_the_least_recently_used_goes_first() -> None:
    pool = Pool(2 * 256)
    first, second = pool.get("a", line), pool.get("b", line)
    pool.get("a", line)
    pool.get("c", line)
    assert pool.get("a", line) is first
    assert pool.get("b", line) is not second
    assert pool.used_bytes <= 2 * 256


def test_a_network_over_the_budget_stands_alone() -> None:
    pool = Pool(300)
    pool.get("small", line)
    large = pool.get("large", lambda: line(100))
    assert pool.get("large", lambda: line(100)) is large
    assert pool.used_bytes == 40_000


def test_threads_share_one_load() -> None:
    pool, loads, ready = Pool(10_000), [], threading.Barrier(4)

    def load() -> nn.Linear:
        loads.append(1)
        return line()

    def ask(_: int) -> nn.Linear:
        ready.wait()
        return pool.get("a", load)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(ask, range(4)))
    assert len(loads) == 1
    assert all(network is found[0] for network in found)


def test_a_failed_load_can_be_tried_again() -> None:
    pool = Pool(10_000)

    def fail() -> nn.Linear:
        raise models.ModelError("no")

    with pytest.raises(models.ModelError, match="no"):
        pool.get("a", fail)
    assert pool.get("a", line).in_features == 8


def test_generators_are_kept_by_content_and_precision(tiny: Generator, tmp_path: Path) -> None:
    path, copy = tmp_path / "mine.safetensors", tmp_path / "copy.safetensors"
    models.save_generator(tiny, path)
    copy.write_bytes(path.read_bytes())
    assert models.network(path) is models.network(copy)
    assert models.network(path) is not models.network(path, dtype=torch.bfloat16)
    models.POOL.clear()

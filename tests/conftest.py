"""Tiny models every test may start from, and a browser; nothing is downloaded."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM
from transformers.utils import logging

logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tiny_sizes() -> dict[str, Any]:
    """Sizes of an XLM-R small enough to build in milliseconds."""
    return {
        "vocab_size": 120,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }


@pytest.fixture(scope="session")
def xlm_roberta_folder(tmp_path_factory: pytest.TempPathFactory, tiny_sizes: dict[str, Any]) -> Path:
    """A tiny `XLMRobertaForMaskedLM` with random weights, saved by transformers itself."""
    torch.manual_seed(0)
    model = XLMRobertaForMaskedLM(XLMRobertaConfig(**tiny_sizes, initializer_range=0.3))
    torch.nn.init.normal_(model.lm_head.bias)
    folder = tmp_path_factory.mktemp("xlm-roberta")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on PATH: pages are tested in a real browser (apt-get install chromium)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def free_port() -> int:
    """A port of this machine on which nobody listens."""
    return port_to_listen_on()


def port_to_listen_on() -> int:
    """As `free_port`, for fixtures that live longer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""The CRF beside pytorch-crf: loss with gradient, Viterbi, and errors against float64; batches of 32, one thread."""

from __future__ import annotations

from typing import Any

import torch
from harness import Row, in_turn, less_is_better
from torchcrf import CRF

from kbioxlm.modeling_crf_kbioxlm import KBioXLMCRF

BATCH = 32
PEER = "pytorch-crf"
LOSS_GOALS = {(5, 128): 8.0, (5, 512): 12.0, (17, 128): None, (17, 512): None}
VITERBI_GOALS = {5: 6.0, 17: 4.0}
ROUNDS = 9
TURN = 0.2


class Case:
    """Both CRFs with the same random parameters, and a random batch for them; masks are beginnings of rows."""

    def __init__(self, tags: int, tokens: int, ragged: bool):
        generator = torch.Generator().manual_seed(13)
        self.ours, self.peer = KBioXLMCRF(tags), CRF(tags, batch_first=True)
        for parameter in self.ours.parameters():
            parameter.data.normal_(generator=generator)
        for mine, theirs in (
            (self.ours.start, self.peer.start_transitions),
            (self.ours.end, self.peer.end_transitions),
            (self.ours.transitions, self.peer.transitions),
        ):
            theirs.data.copy_(mine.data)
        self.emissions = 2 * torch.randn(BATCH, tokens, tags, generator=generator)
        self.emissions.requires_grad_()
        self.tags = torch.randint(tags, (BATCH, tokens), generator=generator)
        lengths = torch.randint(tokens // 4, tokens + 1, (BATCH, 1), generator=generator) if ragged else tokens
        self.mask = (torch.arange(tokens) < lengths).expand(BATCH, -1).contiguous()
        self.mask[0] = True

    def our_loss(self) -> torch.Tensor:
        return self.ours(self.emissions, self.tags, self.mask).sum()

    def peers_loss(self) -> torch.Tensor:
        return -self.peer(self.emissions, self.tags, self.mask, reduction="sum")

    def our_gradient(self) -> None:
        self._forget()
        self.our_loss().backward()

    def peers_gradient(self) -> None:
        self._forget()
        self.peers_loss().backward()

    def our_paths(self) -> list[list[int]]:
        return self.ours.decode(self.emissions, self.mask)

    @torch.no_grad()
    def peers_paths(self) -> list[list[int]]:
        return self.peer.decode(self.emissions, self.mask)

    def errors(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Ours and the peer's: mean error of the losses, and greatest of the gradient of the emissions.

        What is right says pytorch-crf in float64, on the same numbers.
        """
        exact = self._losses_and_gradient(self.peer.double(), self.emissions.double())
        self.peer.float()
        ours, peers = (self._losses_and_gradient(crf, self.emissions) for crf in (self.ours, self.peer))
        return tuple(  # type: ignore[return-value]
            (float((losses - exact[0]).abs().mean()), float((gradient - exact[1]).abs().max()))
            for losses, gradient in (ours, peers)
        )

    def _losses_and_gradient(self, crf: Any, emissions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        emissions = emissions.detach().requires_grad_()
        if crf is self.ours:
            losses = crf(emissions, self.tags, self.mask)
        else:
            losses = -crf(emissions, self.tags, self.mask, reduction="none")
        return losses.detach(), torch.autograd.grad(losses.sum(), emissions)[0]

    def _forget(self) -> None:
        self.emissions.grad = None
        self.ours.zero_grad()
        self.peer.zero_grad()


def crf_rows() -> tuple[list[Row], dict[str, Any]]:
    """The rows of the CRF, and how many paths differ from the peer's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows, notes = [], {}
    for (tags, tokens), goal in LOSS_GOALS.items():
        case, name = Case(tags, tokens, ragged=True), f"{tags} tags, {tokens} tokens"
        seconds = in_turn({"ours": case.our_gradient, PEER: case.peers_gradient}, ROUNDS, TURN)
        rows.append(less_is_better(f"CRF loss and gradient, {name}", "ms", *_ms(seconds), PEER, goal))
        ours, peers = case.errors()
        rows.append(less_is_better(f"CRF error of the loss, {name}", "nats", ours[0], peers[0], PEER, 1.0))
        rows.append(less_is_better(f"CRF error of the gradient, {name}", "", ours[1], peers[1], PEER, 1.0))
    for tags, goal in VITERBI_GOALS.items():
        for ragged in (False, True):
            case = Case(tags, 128, ragged)
            name = f"Viterbi, {tags} tags, 128 tokens{', ragged' if ragged else ''}"
            differ = sum(a != b for a, b in zip(case.our_paths(), case.peers_paths(), strict=True))
            notes[f"{name}: paths that differ"] = differ
            seconds = in_turn({"ours": case.our_paths, PEER: case.peers_paths}, ROUNDS, TURN)
            rows.append(less_is_better(name, "ms", *_ms(seconds), PEER, None if differ else goal))
    torch.set_num_threads(threads)
    return rows, notes


def _ms(seconds: dict[str, float]) -> tuple[float, float]:
    return 1000 * seconds["ours"], 1000 * seconds[PEER]

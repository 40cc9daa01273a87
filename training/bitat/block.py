"""The layers of one block of BiTAT: prepare each before its training, commit it after."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bitat_deploy.training.bitat.commit import Commit, commit_signs
from bitat_deploy.training.bitat.dependency import (
    DependencyLoss,
    Problem,
    arriving_errors,
    build_problem,
    committed_layer,
    compensated_target,
    joint_error,
)
from bitat_deploy.training.bitat.matrices import ConvolutionMatrices
from bitat_deploy.training.bitat.options import BitatOptions
from bitat_deploy.training.bitat.reduction import Reduction
from bitat_deploy.training.bitat.statistics import CommittedLayer, collect_statistics
from bitat_deploy.training.quantizers import binary_sign


@dataclass(frozen=True)
class CommitRecord:
    """What a commit did: the layer's output error together with what it makes of the errors below
    it, over its output's energy, of mean|w| * sign(W) and of what was committed; and the fraction
    of signs that are not sign(W)."""

    name: str
    error_before: float
    error_after: float
    flipped: float


class Block:
    """The layers of one block, taken from the bottom; those committed are remembered."""

    def __init__(self, options: BitatOptions) -> None:
        self._options = options
        self._below: list[CommittedLayer] = []
        self._gains: list[Tensor] = []
        self._chosen: CommitRecord | None = None  # at the start of the layer that trains now

    def state(self) -> dict[str, Any]:
        """The block's memory as plain values and tensors, for a checkpoint."""
        below = [
            {
                "group": entry.reduction.group,
                "count": entry.reduction.count,
                "error": entry.error,
                "weight": entry.weight,
            }
            for entry in self._below
        ]
        chosen = None if self._chosen is None else asdict(self._chosen)
        return {"below": below, "gains": list(self._gains), "chosen": chosen}

    def restore(self, state: dict[str, Any], below: Sequence[ConvolutionMatrices]) -> None:
        """Take up what :meth:`state` gave; ``below`` are the block's committed layers."""
        self._gains = list(state["gains"])
        self._chosen = None if state["chosen"] is None else CommitRecord(**state["chosen"])
        self._below = [
            CommittedLayer(
                layer, Reduction(entry["group"], entry["count"]), entry["error"], entry["weight"]
            )
            for layer, entry in zip(below, state["below"], strict=True)
        ]

    def prepare(
        self, layer: ConvolutionMatrices, normalized: bool, run: Callable[[], Iterable[Any]]
    ) -> Problem:
        """Step a of the schedule: statistics on the partly quantized network [P].

        ``run`` puts the calibration images through the network, one batch for each step of the
        iterator it gives. ``normalized``: whether a batch normalisation follows. With compensation
        "start" the layer's weight is moved to the target (5) here; with the descent at the start
        its signs change here, each weight keeping its magnitude.
        """
        options = self._options
        centred = options.centred and normalized
        statistics = collect_statistics(layer, self._below, run, centred, options.positions)
        arriving = None
        if statistics.gain is not None:
            self._gains.append(statistics.gain)
            arriving = arriving_errors(self._below, self._gains)
        problem = build_problem(layer, statistics, self._below, arriving, options)
        if options.compensation == "start":
            target = compensated_target(problem, layer.weight.detach(), options.ridge)
            with torch.no_grad():
                layer.weight.copy_(layer.ungrouped(target))
        if options.descent_at == "start":
            commit, self._chosen = self._descend(problem)
            weight = commit.rounded.levels * layer.grouped(layer.weight.detach()).abs()
            with torch.no_grad():
                layer.weight.copy_(layer.ungrouped(weight.to(layer.weight.dtype)))
        return problem

    def loss(self, problem: Problem) -> DependencyLoss:
        """Step b's L_dep; its V and s are found here, once."""
        return DependencyLoss(problem, self._options)

    def commit(self, name: str, problem: Problem) -> CommitRecord:
        """Step c: signs by descent on target (5), alpha by (2); the layer is frozen after it.

        Where the descent was at the start: signs and alpha as they were trained.
        """
        layer = problem.layer
        weight = layer.weight.detach().clone()
        if self._chosen is None:
            commit, record = self._descend(problem)
            signs, alpha = commit.rounded.levels, commit.rounded.alpha
        else:
            record, self._chosen = self._chosen, None
            grouped = layer.grouped(weight)
            signs, alpha = binary_sign(grouped), grouped.abs().mean(dim=1, keepdim=True)
        layer.commit(signs, alpha)
        quantized = layer.ungrouped((alpha * signs).to(weight.dtype))
        self._below.append(committed_layer(problem, weight, quantized, self._options))
        return replace(record, name=name)

    def _descend(self, problem: Problem) -> tuple[Commit, CommitRecord]:
        """Choose the layer's signs for the weights it has now."""
        options, layer = self._options, problem.layer
        weight = layer.weight.detach().clone()
        grouped = layer.grouped(weight)
        target = grouped.to(torch.float64)
        if options.compensation == "commit":
            target = compensated_target(problem, weight, options.ridge)
        commit = commit_signs(problem.own, target, options.descent_sweeps, options.importance_order)
        plain = grouped.abs().mean(dim=1, keepdim=True) * binary_sign(grouped)
        record = CommitRecord(
            "",
            joint_error(problem, weight, plain),
            joint_error(problem, weight, commit.rounded.weight()),
            float((commit.rounded.levels != binary_sign(grouped)).to(torch.float64).mean()),
        )
        return commit, record

"""Bits for each layer, so that what they do to the answers is least within a budget."""

from collections.abc import Mapping

from bitat_deploy.errors import InputError

_Costs = Mapping[str, Mapping[int, float]]


def choose_bits(
    harm: _Costs, cost: _Costs, budget: float, elsewhere: float = 0.0
) -> dict[str, int]:
    """The bits of each layer with the least total ``harm`` whose ``cost`` is within ``budget``.

    The budget is the whole network's, of which ``elsewhere`` is spent on other layers.

    ``harm`` and ``cost`` are by layer and number of bits, of the same keys; they are added over the
    layers, as if layers did not matter for each other. Exact: of all choices for the layers so far
    those are kept than which none costs less and harms less. Raises InputError where the cheapest
    choice is above the budget.
    """
    kept: list[tuple[float, float, tuple[int, ...]]] = [(elsewhere, 0.0, ())]
    for layer, harms in harm.items():
        longer = [
            (spent + cost[layer][bits], total + harms[bits], (*chosen, bits))
            for spent, total, chosen in kept
            for bits in harms
        ]
        kept, least = [], float("inf")
        for entry in sorted(longer):
            if entry[0] <= budget and entry[1] < least:
                kept.append(entry)
                least = entry[1]
        if not kept:
            cheapest = elsewhere + sum(min(entries.values()) for entries in cost.values())
            raise InputError(
                f"the budget of {budget:g} is below the {cheapest:.6g} that the network needs "
                "with the cheapest bits; raise it"
            )
    return dict(zip(harm, kept[-1][2], strict=True))

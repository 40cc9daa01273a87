"""A user's own module as an integer network: traced, recorded, folded."""

from bitat_deploy.training.own_network.black_border import (
    BlackBorderConv2d,
    black_of,
    check_pixels,
)
from bitat_deploy.training.own_network.constraint import PositiveScales, compared_normalizations
from bitat_deploy.training.own_network.graph import IMAGE
from bitat_deploy.training.own_network.saved import (
    FORMAT,
    BinarizedModel,
    graph_of,
    network_of_document,
)
from bitat_deploy.training.own_network.trace import trace_model

__all__ = [
    "FORMAT",
    "IMAGE",
    "BinarizedModel",
    "BlackBorderConv2d",
    "PositiveScales",
    "black_of",
    "check_pixels",
    "compared_normalizations",
    "graph_of",
    "network_of_document",
    "trace_model",
]

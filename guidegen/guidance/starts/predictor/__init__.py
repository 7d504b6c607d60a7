"""Starts that a network predicts from the text, and the file that holds the network."""

from guidegen.guidance.starts.predictor.network import NetworkSizes, PredictorNetwork
from guidegen.guidance.starts.predictor.predictor import (
    MOST_NUMBERS,
    Predictor,
    PredictorCard,
    read_card,
    save_predictor,
    shapes_of,
    telltale_of,
)

__all__ = [
    "MOST_NUMBERS", "NetworkSizes", "Predictor", "PredictorCard", "PredictorNetwork", "read_card",
    "save_predictor", "shapes_of", "telltale_of",
]  # fmt: skip

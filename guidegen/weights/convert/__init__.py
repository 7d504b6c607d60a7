"""Import: a checkpoint as it was published becomes a model of the store."""

from guidegen.weights.convert.checkpoint import Imported, import_checkpoint
from guidegen.weights.convert.tensors import check_numbers

__all__ = ["Imported", "check_numbers", "import_checkpoint"]

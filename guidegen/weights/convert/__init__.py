"""Import: a checkpoint as it was published becomes a model of the store."""

from guidegen.weights.convert.checkpoint import Imported, check_numbers, import_checkpoint

__all__ = ["Imported", "check_numbers", "import_checkpoint"]

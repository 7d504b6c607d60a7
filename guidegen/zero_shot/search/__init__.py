"""Pictures of a folder by what they show: an index that brings itself up to date."""

from guidegen.zero_shot.search.query import Hit, search
from guidegen.zero_shot.search.runs import RunHit, search_runs

__all__ = ["Hit", "RunHit", "search", "search_runs"]

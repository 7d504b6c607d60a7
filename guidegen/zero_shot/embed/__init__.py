"""CLIP's features of pictures and texts: from Python, as files, in parts on a cluster."""

from guidegen.zero_shot.embed.features import Embeddings, embed
from guidegen.zero_shot.embed.files import check_embed_out, write_embeddings

__all__ = ["Embeddings", "check_embed_out", "embed", "write_embeddings"]

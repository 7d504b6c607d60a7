"""Settings of how a run finds its start, and how many starts it mixes."""

from pydantic import BaseModel, Field


class SearchSettings(BaseModel, defer_build=True):
    """Starts that are mixed, noise on latents, and a search without gradients."""

    mix: int = Field(
        1, ge=1, le=16, description="Best starts that are mixed and optimised together."
    )
    latent_noise: float = Field(
        0.0, ge=0, le=10, description="Deviation of the noise on the latents in each step."
    )
    evolve: int = Field(
        0, ge=0, le=100_000, description="Generations of CMA-ES from the best start, before step 0."
    )
    evolve_steps: int = Field(
        0, ge=0, le=1000, description="Steps of gradient within each of its trials (BasinCMA)."
    )
    population: int = Field(0, ge=0, le=1000, description="Trials of a generation; 0: by its rule.")

"""Settings by what they are about, as help and forms show them. Torch-free."""

# What is shown first.
COMMON = (
    "negative", "seed", "size", "steps", "generator", "preset", "init_image", "init_run",
    "start_from", "out", "video",
)  # fmt: skip
REST = "Further settings"
# Fields that stand in none are the last one's.
GROUPS = {
    "Prompts": ("negative_weight", "image_prompt", "noise_prompt", "template"),
    "Where": ("region", "mask", "outpaint", "palette"),
    "Models": ("perceptor", "option", "device", "precision", "generator_precision"),
    "Optimisation": (
        "lr", "lr_end", "lr_warmup", "coarse_to_fine", "optimizer", "distance", "loss",
        "loss_option", "prior", "init_weight", "ema", "starts",
        "mix", "latent_noise", "evolve", "evolve_steps", "population",
    ),
    "Cutouts": (
        "cutouts", "cutout_batch", "cutout_method", "cutout_noise", "cutout_whole", "cutout_scale",
        "cutout_scale_end", "cutout_shift",
    ),
    "Camera": ("zoom", "shift", "rotate", "move_every"),
    REST: (),
}  # fmt: skip

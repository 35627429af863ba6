"""Training the matching line: SVHF, Kim et al. 2018, TriNet, Wen et al. 2021, and alternatives they compare with.

One task: two encoders (SVHF's fusion has a third, for dynamic images), a head (`s2f.matching.heads`), a loss
(`s2f.matching.methods`) and items (`s2f.training.matching.items`). Each recipe in s2f/recipes lists its deviations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from encoders.face.base import FaceEncoder
from encoders.voice.base import VoiceEncoder
from s2f.checkpoints.encoders import FACE_ENCODERS, VOICE_ENCODERS, load_face_encoder, load_voice_encoder
from s2f.datasets import DatasetFolder
from s2f.errors import RecipeError, did_you_mean
from s2f.faces.dynamic_images import Formulation
from s2f.matching.heads import FORM_OPTIONS, EmbeddingHead, MatchingHead, NWayScorer, PairClassifier, StaticScorer
from s2f.matching.media import Media
from s2f.matching.methods import (
    CandidateClassification,
    ContrastivePairs,
    Method,
    PairClassification,
    SoftmaxDistanceTriplet,
    SphereTriplets,
    TwoLevelAlignment,
)
from s2f.matching.model import MatchingModel
from s2f.matching.reweighting import IdentityWeights
from s2f.runtime.files import whole_folder
from s2f.training.face_augmentation import FaceAugmentation, face_augmentation
from s2f.training.loop.arguments import TrainingArguments, build_network, free
from s2f.training.loop.bad_items import add_skipped
from s2f.training.loop.checkpointing import run_sources
from s2f.training.matching.items import IdentityBatches, MatchingItems, Pairs, People, Triplets
from s2f.training.matching.validation import HeldOutPairs
from s2f.training.voice_augmentation import STRENGTHS, augment_voice

MethodName = Literal["svhf", "kim2018", "siamese", "pair_classification", "trinet", "wen2021"]
HEAD_FORMS = {"kim2018": "mlp", "siamese": "mlp", "trinet": "sphere", "wen2021": "normalized"}


@dataclass(kw_only=True)
class MatchingArguments(TrainingArguments):
    """Flags of train_matching.py, besides those every recipe shares.

    Args:
        method: the published system, or one of the alternatives of Kim et al., section 4.6.
        voice_encoder: which voice encoder.
        voice_network: its constructor arguments; with `voice_weights` they must be those of the folder.
        voice_weights: folder of a trained voice encoder to start from, as train_voice.py exports it.
        face_encoder: which face encoder.
        face_network: its constructor arguments; with `face_weights` they must be those of the folder.
        face_weights: folder of a trained face encoder to start from, as train_face.py exports it; its identity layer is
            not used.
        head: further constructor arguments of the head: sizes, or form, embedding_dim and what that form uses:
            hidden_size of mlp, radius of sphere, dropout of normalized.
        direction: whose candidates a query has: v2f a voice and faces, f2v a face and voices. Methods with pairs or
            identity batches learn both ways at once.
        ways: candidates of a query.
        query_pooling: SVHF's N-way architecture, which takes any number of candidates, instead of the static one.
        fixed_triplets: draw so many triplets once, and train on these alone; None draws new ones in every epoch.
        dynamic: SVHF's fusion with dynamic images of face tracks: one of the whole track, ten windows with temporal
            pooling, or dense windows.
        dynamic_stride: frames between dense windows; the paper does not print it.
        dynamic_weights: folder of a trained face encoder to start the dynamic stream from.
        voices_per_identity: voices of each identity in a batch of trinet.
        faces_per_identity: faces of each identity in a batch of trinet.
        seconds: length of training clips.
        shortest_seconds: when given, every batch is cut to a length drawn uniformly between this and `seconds`.
        crop: use the first `seconds` of a recording or a random part of it.
        speed: smallest and largest factor of speed, drawn for each clip.
        voice_seconds: how much of a clip is heard in validation and by `s2f embed`; None hears all of it.
        voice_augment: light varies noise, level and bandwidth a little; strong also room, equaliser and telephone.
        face_augment: see `s2f.training.face_augmentation`.
        margin: of trinet and siamese.
        used_triplets: kim2018: triplets of a batch that are used.
        hardest_from_step: kim2018: step from which these are the hardest; before, they are the first.
        mode: wen2021: as printed, or as the authors' code does it where that differs.
        focal_gamma: wen2021: focal loss with this exponent instead of re-weighting.
        reweighting: wen2021: settings of the identity weights, which are learned before the network itself is trained:
            see `s2f.training.matching.three_stages`. Empty for no weights.
        cached_clips: decoded recordings kept in memory by each loading process.
        cached_faces: decoded pictures kept in memory by each loading process.
    """

    method: MethodName
    voice_encoder: Literal["speech2face", "vgg_m", "soundnet", "thin_resnet", "fast_resnet"] = "vgg_m"
    voice_network: dict[str, Any] = field(default_factory=dict)
    voice_weights: str | None = free(default=None)
    face_encoder: Literal["compact", "vgg_face", "vgg_m", "vgg16_pooled", "ir"] = "vgg_m"
    face_network: dict[str, Any] = field(default_factory=dict)
    face_weights: str | None = free(default=None)
    head: dict[str, Any] = field(default_factory=dict)
    direction: Literal["v2f", "f2v"] = "v2f"
    ways: int = 2
    query_pooling: bool = False
    fixed_triplets: int | None = None
    dynamic: Formulation | None = None
    dynamic_stride: int = 10
    dynamic_weights: str | None = free(default=None)
    voices_per_identity: int = 1
    faces_per_identity: int = 1
    seconds: float = 3.0
    shortest_seconds: float | None = None
    crop: Literal["start", "random"] = "random"
    speed: list[float] | None = None
    voice_seconds: float | None = None
    voice_augment: Literal["none", "light", "strong"] = "none"
    face_augment: FaceAugmentation = "none"
    margin: float = 1.0
    used_triplets: int | None = None
    hardest_from_step: int | None = None
    mode: Literal["paper", "code"] = "paper"
    focal_gamma: float | None = None
    reweighting: dict[str, Any] = field(default_factory=dict)
    cached_clips: int = free(default=0)
    cached_faces: int = free(default=0)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            RecipeError: an encoder frozen before it learned anything, ways that the method does not have, lengths that
                cross.
        """
        super().__post_init__()
        for side in ("voice", "face"):
            if self.part_rates.get(f"{side}_encoder") == 0 and getattr(self, f"{side}_weights") is None:
                fix = f"train one with train_{side}.py, or do not freeze it"
                raise RecipeError(f"{side}_weights for a frozen {side}_encoder", "none", fix)
        if self.ways != 2 and not self.query_pooling:
            raise RecipeError("ways 2", str(self.ways), "only SVHF with query_pooling takes other numbers")
        if self.shortest_seconds is not None and not 0 < self.shortest_seconds <= self.seconds:
            got = f"{self.shortest_seconds} and {self.seconds}"
            raise RecipeError("0 < shortest_seconds <= seconds", got, "exchange them")
        if (self.query_pooling or self.dynamic) and self.method != "svhf":
            raise RecipeError("query_pooling and dynamic with method svhf", self.method, "leave them out")


class MatchingModule(nn.Module):
    """The networks and the method; returns the loss terms of a batch."""

    def __init__(self, model: MatchingModel, method: Method, arguments: MatchingArguments) -> None:
        super().__init__()
        self.voice_encoder, self.face_encoder = model.voice_encoder, model.face_encoder
        self.dynamic_encoder, self.head, self.method = model.dynamic_encoder, model.head, method
        self.arguments = arguments
        self.augment = face_augmentation(arguments.face_augment, model.face_encoder.image_size_px)
        self.model = (model,)  # a tuple: its networks are registered above

    def train(self, mode: bool = True) -> MatchingModule:
        """Switch to training, but for frozen parts, whose batch statistics stay as they are."""
        super().train(mode)
        for part, factor in self.arguments.part_rates.items():
            if factor == 0:
                self.get_submodule(part).eval()
        return self

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss terms of the method."""
        batch = {name: values[: self.method.items] for name, values in batch.items()}
        voice = self._voice(batch["voice"].flatten(0, 1)).unflatten(0, batch["voice_label"].shape)
        face = self._face(batch["face"].flatten(0, 1), batch.get("dynamic")).unflatten(0, batch["face_label"].shape)
        with torch.autocast(voice.device.type, enabled=False):
            labels = batch["voice_label"], batch["face_label"]
            return self.method.terms(self.head, voice.float(), face.float(), *labels)

    def _voice(self, waveform: Tensor) -> Tensor:
        arguments, rate = self.arguments, self.voice_encoder.sample_rate_hz
        if arguments.shortest_seconds is not None:
            low, high = round(arguments.shortest_seconds * rate), waveform.shape[1]
            waveform = waveform[:, : int(torch.randint(low, high + 1, ()))]
        if arguments.voice_augment != "none":
            waveform = augment_voice(waveform, rate, STRENGTHS[arguments.voice_augment])
        return self.voice_encoder.encode(waveform)

    def _face(self, image: Tensor, dynamic: Tensor | None) -> Tensor:
        image = self.augment(image.float() / 255)
        if dynamic is not None:
            dynamic = dynamic.flatten(0, 1).float() / 255
        return self.model[0].face_features(image, dynamic)


class MatchingTask:
    """Task of the shared loop: see `s2f.training.loop.loop.Task`."""

    def __init__(self, data: DatasetFolder, arguments: MatchingArguments, weights: Path | None = None) -> None:
        """Build networks, items and held-out pairs.

        Args:
            data: the dataset folder.
            arguments: the recipe.
            weights: wen2021's identity_weights.csv, learned before; None for weights of 1.
        """
        named = ("voice_weights", "face_weights", "dynamic_weights")
        folders = {name: folder for name in named if (folder := getattr(arguments, name))}
        self.sources = run_sources(data, **folders)
        self.arguments = arguments
        self.people = People.read(data, "train", tracks=arguments.dynamic is not None)
        model = build_model(arguments)
        self.module = MatchingModule(model, build_method(arguments, self.people.identities, weights), arguments)
        self.dataset = self._items(data, model)
        self.held_out = HeldOutPairs.read(data, model, self._media(data, model), arguments.skip_bad)

    def _media(self, data: DatasetFolder, model: MatchingModel) -> Media:
        arguments = self.arguments
        return Media(
            data,
            model.voice_encoder.sample_rate_hz,
            model.face_encoder.prepare,
            seconds=arguments.seconds,
            crop=arguments.crop,
            speed=arguments.speed,
            dynamic=arguments.dynamic,
            window_stride=arguments.dynamic_stride,
            cached_clips=arguments.cached_clips,
            cached_faces=arguments.cached_faces,
        )

    def _items(self, data: DatasetFolder, model: MatchingModel) -> MatchingItems:
        arguments, people, media = self.arguments, self.people, self._media(data, model)
        if arguments.method in ("svhf", "kim2018"):
            fixed = arguments.fixed_triplets
            return Triplets(people, media, arguments.seed, arguments.direction, arguments.ways, fixed)
        if arguments.method in ("siamese", "pair_classification"):
            return Pairs(people, media, arguments.seed)
        counts = arguments.voices_per_identity, arguments.faces_per_identity
        if arguments.method == "wen2021" and counts != (1, 1):
            got = f"{counts[0]} and {counts[1]}"
            raise RecipeError("one voice and one face an identity for wen2021", got, "leave the counts out")
        if arguments.train_batch_size < 2:
            fix = "raise train_batch_size: triplets need other identities in the batch"
            raise RecipeError("at least 2 identities in a batch", str(arguments.train_batch_size), fix)
        return IdentityBatches(people, media, arguments.seed, *counts)

    def to(self, device: torch.device) -> None:
        """Remember the device; everything that is moved is part of the module."""
        self.device = device

    def begin_step(self, step: int) -> None:
        """Tell the method which step comes."""
        self.module.method.step = step

    def validate(self, folder: Path) -> dict[str, float]:
        """Exact two-way matching of held-out people, and for heads that score pairs a picture of the best faces."""
        add_skipped(Path(self.arguments.output_dir), self.held_out.skipped)
        return self.held_out.evaluate(self.module.model[0], folder, self.device)

    def export(self, folder: Path) -> None:
        """Write `folder`/model."""
        with whole_folder(folder / "model") as partial:
            self.module.model[0].save_pretrained(partial)


def build_model(arguments: MatchingArguments) -> MatchingModel:
    """Networks of a recipe, from weights where it names them.

    Raises:
        RecipeError: an option that a network does not have, or encoders that do not fit the head.
        CheckpointError: weights that cannot be loaded, or of another encoder than the recipe's.
    """
    voice_encoder = _voice_encoder(arguments)
    face_encoder = _face_encoder(arguments, arguments.face_weights)
    dynamic_encoder = _face_encoder(arguments, arguments.dynamic_weights) if arguments.dynamic else None
    if dynamic_encoder is not None and not hasattr(dynamic_encoder, "pooled_features"):
        raise RecipeError("face_encoder vgg_m with dynamic", arguments.face_encoder, "it pools over time at pool5")
    head = build_head(arguments, voice_encoder.embedding_dim, face_encoder.embedding_dim)
    dynamic = (arguments.dynamic, arguments.dynamic_stride) if arguments.dynamic else None
    return MatchingModel(voice_encoder, face_encoder, head, dynamic_encoder, arguments.voice_seconds, dynamic)


def _voice_encoder(arguments: MatchingArguments) -> VoiceEncoder:
    kind = VOICE_ENCODERS[arguments.voice_encoder]
    if arguments.voice_weights is None:
        encoder = build_network(kind, arguments.voice_network)
    else:
        encoder = load_voice_encoder(arguments.voice_weights)
        _compare(encoder, kind, arguments.voice_network, "voice")
    seconds = arguments.shortest_seconds or arguments.seconds
    if seconds < encoder.min_seconds:
        raise RecipeError(f"clips of at least {encoder.min_seconds:.3f} s", str(seconds), "use longer training clips")
    return encoder


def _face_encoder(arguments: MatchingArguments, weights: str | None) -> FaceEncoder:
    """A face encoder whose identity layer, if it has one, is left as it is."""
    kind = FACE_ENCODERS[arguments.face_encoder]
    if weights is None:
        encoder = build_network(kind, arguments.face_network)
    else:
        encoder = load_face_encoder(weights)
        _compare(encoder, kind, arguments.face_network, "face")
    encoder.freeze_classifier()
    return encoder


def _compare(encoder: VoiceEncoder | FaceEncoder, kind: type, options: dict[str, Any], side: str) -> None:
    """Refuse loaded weights of another network than the recipe's."""
    if not isinstance(encoder, kind):
        fix = f"correct {side}_encoder or {side}_weights"
        raise RecipeError(f"weights of a {kind.__name__}", type(encoder).__name__, fix)
    for name, value in options.items():
        stored = encoder.config.get(name)
        if json.dumps(stored) != json.dumps(value):
            fix = f"correct {side}_network or {side}_weights"
            raise RecipeError(f"weights of a network with {name} {value}", str(stored), fix)


def build_head(arguments: MatchingArguments, voice_size: int, face_size: int) -> MatchingHead:
    """Head of a recipe for features of these sizes.

    Raises:
        RecipeError: an unknown form, an option that the head or its form does not have, one that is set elsewhere, or
            for SVHF sizes that differ.
    """
    sizes = {"voice_size": voice_size, "face_size": face_size}
    if arguments.method in HEAD_FORMS:
        return build_network(EmbeddingHead, _embedding_options(arguments) | sizes)
    if arguments.method == "pair_classification":
        return build_network(PairClassifier, _free_options(arguments.head, sizes) | sizes)
    if voice_size != face_size:
        got = f"{voice_size} and {face_size}"
        raise RecipeError("voice and face features of one size for SVHF", got, "change fc_sizes of one network")
    kind = NWayScorer if arguments.query_pooling else StaticScorer
    decided = {"feature_size": voice_size, "direction": arguments.direction}
    return build_network(kind, _free_options(arguments.head, decided) | decided)


def _embedding_options(arguments: MatchingArguments) -> dict[str, Any]:
    """Options of an `EmbeddingHead`, its form among them: the method's, if the recipe names none."""
    options = {"form": HEAD_FORMS[arguments.method]} | arguments.head
    form = options["form"]
    if form not in list(FORM_OPTIONS):
        fix = (
            did_you_mean(str(form), FORM_OPTIONS)
            or f"leave it out: {arguments.method} has {HEAD_FORMS[arguments.method]}"
        )
        raise RecipeError(f"a head of form {', '.join(FORM_OPTIONS)}", repr(form), fix)
    for other, option in FORM_OPTIONS.items():
        if other != form and option in options:
            expected = f"options of a head of form {form}: embedding_dim, {FORM_OPTIONS[form]}"
            raise RecipeError(expected, repr(option), f"remove it, or choose form {other}")
    return _free_options(options, ("voice_size", "face_size"))


def _free_options(options: dict[str, Any], decided: Iterable[str]) -> dict[str, Any]:
    """The options, if none of them is one that is decided elsewhere."""
    for name in decided:
        if name in options:
            fix = "remove it: the encoders and --direction decide it"
            raise RecipeError("a head without sizes of features and direction", repr(name), fix)
    return options


def build_method(arguments: MatchingArguments, identities: Sequence[str], weights: Path | None) -> Method:
    """Loss of a recipe.

    Args:
        arguments: the recipe.
        identities: training identities, sorted.
        weights: learned identity weights, or None.

    Returns:
        The method.
    """
    if arguments.method == "svhf":
        return CandidateClassification()
    if arguments.method == "kim2018":
        return SoftmaxDistanceTriplet(arguments.used_triplets, arguments.hardest_from_step)
    if arguments.method == "siamese":
        return ContrastivePairs(arguments.margin)
    if arguments.method == "pair_classification":
        return PairClassification()
    if arguments.method == "trinet":
        return SphereTriplets(arguments.margin)
    identity_weights = IdentityWeights(len(identities), arguments.mode)
    if weights is not None:
        identity_weights.read(weights, identities)
    size = arguments.head.get("embedding_dim", 128)
    return TwoLevelAlignment(identity_weights, size, arguments.mode, arguments.focal_gamma)

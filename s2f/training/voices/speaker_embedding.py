"""Speaker embeddings of a published network (GE2E, as packaged in resemblyzer), for training alone.

Paper: Wan et al., "Generalized End-to-End Loss for Speaker Verification" (ICASSP 2018), section 2: three LSTM layers,
a linear layer and L2 normalisation; windows of a recording are averaged. As in the package: 40 mel bands of 25 ms every
10 ms, 256 units, a ReLU before the normalisation, windows of 1.6 s. Deviation: no voice activity detection, because
training recordings are trimmed already. The package itself is never imported; of its weight file, known by
its SHA-256, tensors alone are read.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from s2f.errors import AssetMissing
from s2f.runtime.files import write_bytes

SAMPLE_RATE_HZ = 16000
EMBEDDING_DIM = 256
MEL_BANDS = 40
WINDOW_FRAMES = 160
WINDOWS_AT_MOST = 8  # of one recording, evenly spread: 7 s or more of sound
LEVEL_DBFS = -30.0  # quieter recordings are raised to this, as in the package
LAYERS = 3
INSTALL = "pip install --no-deps resemblyzer==0.1.4"
SHA_256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"


class SpeakerEncoder(nn.Module):
    """Mel spectrograms to speaker embeddings, about 1.4 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MEL_BANDS, EMBEDDING_DIM, LAYERS, batch_first=True)
        self.linear = nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM)

    def forward(self, mel: Float[Tensor, "B T 40"]) -> Float[Tensor, "B 256"]:
        """Embeddings of windows.

        Args:
            mel: (B, T, 40) power mel spectrograms.

        Returns:
            (B, 256) of length 1, no element negative.
        """
        _, (hidden, _) = self.lstm(mel)
        return F.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


def load_speaker_encoder() -> SpeakerEncoder:
    """The published network, in eval mode.

    Raises:
        AssetMissing: resemblyzer is not installed, or holds another weight file.
    """
    found = importlib.util.find_spec("resemblyzer")
    if found is None or not found.submodule_search_locations:
        raise AssetMissing("the package resemblyzer for side_tasks.embedding", "none installed", INSTALL)
    path = Path(found.submodule_search_locations[0]) / "pretrained.pt"
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != SHA_256:
        raise AssetMissing(f"the weights of resemblyzer 0.1.4 at {path}", "another file or none", INSTALL)
    state = torch.load(BytesIO(content), weights_only=True, map_location="cpu")["model_state"]
    encoder = SpeakerEncoder()
    encoder.load_state_dict({name: value for name, value in state.items() if name.startswith(("lstm.", "linear."))})
    return encoder.eval().requires_grad_(False)


@torch.inference_mode()
def speaker_embedding(encoder: SpeakerEncoder, waveform: np.ndarray) -> np.ndarray:
    """Embedding of one recording.

    Args:
        encoder: from `load_speaker_encoder`.
        waveform: (S,) mono samples at 16 kHz; shorter ones than 1.6 s are repeated.

    Returns:
        (256,) float32 of length 1.
    """
    from librosa.feature import melspectrogram

    hop = SAMPLE_RATE_HZ // 100
    if len(waveform) < WINDOW_FRAMES * hop:
        waveform = np.resize(waveform, WINDOW_FRAMES * hop)
    rms = max(float(np.sqrt(np.square(waveform, dtype=np.float64).mean())), 1e-9)
    raised = waveform * max(1.0, 10 ** (LEVEL_DBFS / 20) / rms)
    mel = melspectrogram(y=raised, sr=SAMPLE_RATE_HZ, n_fft=SAMPLE_RATE_HZ // 40, hop_length=hop, n_mels=MEL_BANDS).T
    spare = len(mel) - WINDOW_FRAMES
    count = min(WINDOWS_AT_MOST, 1 + spare // (WINDOW_FRAMES // 2))
    starts = np.linspace(0, spare, count).round().astype(int)
    windows = np.stack([mel[first : first + WINDOW_FRAMES] for first in starts]).astype(np.float32)
    return F.normalize(encoder(torch.from_numpy(windows)).mean(0), dim=0).numpy()


def cached_embeddings(
    files: Sequence[Path], names: Sequence[str], read: Callable[[int], np.ndarray], folder: Path
) -> np.ndarray:
    """Embeddings of many recordings, computed once and kept as `folder`/speaker_embeddings_<key>.npz.

    The key covers the names, and size and time of every file, so that a changed recording is embedded anew.

    Args:
        files: N sound files.
        names: N texts that say which part of the file is used and how it is prepared.
        read: gives recording k as 16 kHz mono samples.
        folder: where the file goes.

    Returns:
        (N, 256) float32.

    Raises:
        AssetMissing: see `load_speaker_encoder`; not where the file exists.
    """
    facts = [(name, file.stat().st_size, file.stat().st_mtime_ns) for file, name in zip(files, names, strict=True)]
    key = hashlib.sha256(repr((SHA_256, WINDOWS_AT_MOST, facts)).encode()).hexdigest()[:16]
    path = folder / f"speaker_embeddings_{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return stored["embeddings"]
    encoder = load_speaker_encoder()
    bar = tqdm(range(len(files)), desc="speaker embeddings", unit="voice", disable=None)
    embeddings = np.stack([speaker_embedding(encoder, read(number)) for number in bar])
    content = BytesIO()
    np.savez(content, embeddings=embeddings)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content.getvalue())
    return embeddings

"""Change the tempo of a voice by overlapping pieces of its own waveform."""

import numpy as np

LOWEST_F0 = 0.7  # a clip's lower pitches relative to its median


def stretch(sound: np.ndarray, length: int, sample_rate_hz: int, f0_hz: float) -> np.ndarray:
    """Stretch or shorten a voice without touching its pitch.

    Args:
        sound: (S,) float32.
        length: wanted samples.
        sample_rate_hz: samples per second.
        f0_hz: the voice's median pitch; window and search follow it.

    Returns:
        (length,) float32; `sound` itself if it has that length.

    Paper:
        W. Verhelst, M. Roelands 1993, An overlap-add technique based on waveform similarity (WSOLA).
        Deviation: the similarity is normalised, and window and search follow the clip's pitch.
    """
    if len(sound) == length:
        return sound
    period_s = 1 / (LOWEST_F0 * f0_hz)
    hop = round(min(max(period_s, 0.006), 0.016) * sample_rate_hz)
    reach = round(min(max(0.6 * period_s, 0.003), 0.012) * sample_rate_hz)
    count = -(-length // hop) + 1
    padded = np.pad(sound, (reach + hop, 4 * hop + 2 * reach)).astype(np.float32)
    energy = np.concatenate([[0.0], np.cumsum(np.square(padded, dtype=np.float64))])
    ideal = np.minimum(np.round(np.arange(count) * hop * (len(sound) / length)).astype(int), len(sound))
    frames = np.empty((count, 2 * hop), dtype=np.float32)
    at = reach
    for step, middle in enumerate(ideal):
        if step:
            follow = padded[at + hop : at + 3 * hop]
            if len(follow) == 2 * hop:
                zone = padded[middle : middle + 2 * reach + 2 * hop]
                power = (energy[middle + 2 * hop :] - energy[middle : -2 * hop])[: 2 * reach + 1]
                similar = np.correlate(zone, follow, mode="valid") / np.sqrt(power + 1e-9)
                at = middle + int(np.argmax(similar))
        frames[step] = padded[at : at + 2 * hop]
    taper = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    return overlap_add(frames * taper, hop, hop, length)


def overlap_add(frames: np.ndarray, hop: int, start: int, length: int) -> np.ndarray:
    """Sum overlapping frames that are windowed by a Hann window, or twice by its root, to the level of the whole.

    Args:
        frames: (K, W) windowed frames, W a whole even number of hops.
        hop: samples from one frame to the next.
        start: samples to leave out at the beginning.
        length: samples to return.

    Returns:
        (length,) float32.
    """
    parts = frames.shape[1] // hop
    blocks = np.zeros((len(frames) + parts, hop), dtype=np.float32)
    for part in range(parts):
        blocks[part : part + len(frames)] += frames[:, part * hop : (part + 1) * hop]
    return blocks.reshape(-1)[start : start + length] * (2 / parts)

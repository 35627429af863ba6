"""Measure a voice: median pitch, apparent vocal-tract length, spectral tilt."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage

from s2f.errors import AudioError, SilentAudio

MIN_F0_HZ, MAX_F0_HZ = 60.0, 500.0
SOUND_SPEED_CM_S = 35000.0
HOP_S, WINDOW_S = 0.01, 0.05
VOICED_CORRELATION = 0.6
LOUD_BELOW_PEAK_DB = 30.0
MIN_VOICED_FRAMES = 10
MAX_FORMANT_FRAMES = 150
FORMANTS, EXTRA_POLES = 4, 2
LOWEST_FORMANT, WIDEST_FORMANT = 0.15, 0.6  # relative to the spacing
SPACINGS = 5.0  # formant spacings below the ceiling of the linear prediction
EXPECTED_CM, EXPECTED_F0_HZ, EXPECTED_SLOPE = 15.75, 160.0, -0.43  # from men over women to children
SEARCH, LENGTHS, COMPLETENESS, NEAR = 0.4, 18, 2.5, 0.15
TILT_LOW_HZ, TILT_HIGH_HZ = 100.0, 5000.0


@dataclass(frozen=True)
class VoiceMeasures:
    """What a voice sounds like.

    Attributes:
        f0_hz: median fundamental frequency over the voiced frames.
        tract_cm: vocal-tract length that formants F1 to F4 suggest, for a sound speed of 350 m/s.
        tilt_db_per_octave: slope of the mean power density of the voiced frames from F0 (at least 100 Hz) to 5 kHz.
    """

    f0_hz: float
    tract_cm: float
    tilt_db_per_octave: float


def measure_voice(waveform: np.ndarray, sample_rate_hz: int) -> VoiceMeasures:
    """Measure the voiced part of a clip.

    F0 is the strongest peak of the normalised autocorrelation within 60 to 500 Hz, found a second time
    within 0.6 to 1.9 times its first median against octave errors. The tract is that of a tube closed at
    the glottis whose resonances (2 i - 1) c / 4 L fit the frame-wise formants; the linear prediction's ceiling is
    set to five of the tube's own spacings, so that it suits men and children and a factor on all formants is a factor
    on the length.

    Args:
        waveform: (S,) mono float samples, best 3 s of speech or more.
        sample_rate_hz: samples per second, 8000 or more.

    Returns:
        The measures.

    Raises:
        AudioError: not one channel of finite samples, or a low sample rate.
        SilentAudio: fewer than 10 frames of 10 ms are voiced.

    Paper:
        A. Lammert, S. Narayanan 2015, On short-time estimation of vocal tract length from formant frequencies, for
        the idea; the fit through the origin is D. Reby, K. McComb 2003, Anatomical constraints generate honesty.
        Deviation: their coefficients are not used; every frame's F1 to F4 are fitted and the median is taken.
        P. Boersma 1993, Accurate short-term analysis of the fundamental frequency, for the autocorrelation divided by
        the window's. Deviation: no path search.
    """
    frames, f0_hz, voiced = _track(waveform, sample_rate_hz)
    if voiced.sum() < MIN_VOICED_FRAMES:
        got = f"{int(voiced.sum())} voiced frames in {len(waveform) / sample_rate_hz:.2f} s"
        fix = "check the microphone, or cut the clip to where somebody speaks"
        raise SilentAudio(f"speech with at least {MIN_VOICED_FRAMES} voiced frames", got, fix)
    middle_hz = float(np.median(f0_hz[voiced]))
    power, bin_hz = _smooth_power(frames[voiced], f0_hz[voiced], sample_rate_hz)
    loud = np.argsort(power.sum(axis=1))[::-1][:MAX_FORMANT_FRAMES]
    return VoiceMeasures(middle_hz, _tract_cm(power[np.sort(loud)], bin_hz, middle_hz), _tilt(power, bin_hz, middle_hz))


def median_f0_hz(waveform: np.ndarray, sample_rate_hz: int) -> float | None:
    """The F0 of `measure_voice` alone, in a third of the time.

    Args:
        waveform: (S,) mono float samples.
        sample_rate_hz: samples per second, 8000 or more.

    Returns:
        Median F0 in Hz, or None where fewer than 10 frames of 10 ms are voiced.

    Raises:
        AudioError: not one channel of finite samples, or a low sample rate.
    """
    _, f0_hz, voiced = _track(waveform, sample_rate_hz)
    return float(np.median(f0_hz[voiced])) if voiced.sum() >= MIN_VOICED_FRAMES else None


def _track(waveform: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames, their F0 and whether they are voiced."""
    x = np.asarray(waveform)
    if x.ndim != 1 or x.dtype.kind != "f" or sample_rate_hz < 8000 or not np.isfinite(x).all():
        got = f"{x.dtype} of shape {x.shape} at {sample_rate_hz} Hz, or samples that are not finite"
        raise AudioError("finite mono float samples at 8000 Hz or more", got, "load it with s2f.audio.load")
    frames = _frames(x.astype(np.float32), sample_rate_hz)
    return frames, *_pitch(frames, sample_rate_hz)


def _frames(x: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """(K, W) overlapping frames without their mean."""
    window, hop = round(WINDOW_S * sample_rate_hz), round(HOP_S * sample_rate_hz)
    padded = np.pad(x, (0, max(0, window - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return frames - frames.mean(axis=1, keepdims=True)


def _pitch(frames: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """(K,) F0 and (K,) whether the frame is voiced."""
    size = scipy.fft.next_fast_len(2 * frames.shape[1], real=True)
    taper = np.hanning(frames.shape[1]).astype(np.float32)
    power = _without_hum(np.square(np.abs(scipy.fft.rfft(frames * taper, n=size))))
    frequency = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    power[:, (frequency < 0.8 * MIN_F0_HZ) | (frequency > 2000)] = 0
    correlation = scipy.fft.irfft(power, n=size)
    own = scipy.fft.irfft(np.square(np.abs(scipy.fft.rfft(taper, n=size))), n=size)
    energy = correlation[:, :1]
    last = min(round(sample_rate_hz / MIN_F0_HZ) + 2, frames.shape[1])
    correlation = correlation[:, :last] / np.maximum(energy, 1e-12) * (own[0] / own[:last])
    level = 10 * np.log10(energy[:, 0] + 1e-12)
    loud = (level > np.percentile(level, 95) - LOUD_BELOW_PEAK_DB) & (level > -60)
    f0_hz, peak = _best_lag(correlation, sample_rate_hz, MIN_F0_HZ, MAX_F0_HZ)
    voiced = loud & (peak > VOICED_CORRELATION)
    if voiced.any():
        middle = float(np.median(f0_hz[voiced]))
        f0_hz, peak = _best_lag(correlation, sample_rate_hz, max(0.6 * middle, MIN_F0_HZ), 1.9 * middle)
        voiced = loud & (peak > VOICED_CORRELATION)
    return f0_hz, voiced


def _without_hum(power: np.ndarray) -> np.ndarray:
    """Take the steady background, twice the mean of the quietest tenth of the frames, off (K, F) power spectra."""
    level = power.sum(axis=1)
    order = np.argsort(level)
    quiet = order[: max(len(order) // 10, 1)]
    if level[quiet].mean() > 0.1 * np.percentile(level, 90):
        return power
    return np.maximum(power - 2 * power[quiet].mean(axis=0), 0)


def _best_lag(
    correlation: np.ndarray, sample_rate_hz: int, low_hz: float, high_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """F0 and height of each frame's best peak; an octave down costs 0.03 of the correlation."""
    first = max(int(sample_rate_hz / high_hz), 2)
    last = min(int(np.ceil(sample_rate_hz / low_hz)) + 1, correlation.shape[1] - 1)
    here = correlation[:, first:last]
    before, after = correlation[:, first - 1 : last - 1], correlation[:, first + 1 : last + 1]
    score = here - 0.03 * np.log2(np.arange(first, last))
    best = np.argmax(np.where((here >= before) & (here >= after), score, -np.inf), axis=1)[:, None]
    a, b, c = (np.take_along_axis(part, best, axis=1)[:, 0] for part in (before, here, after))
    shift = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9)
    return sample_rate_hz / (first + best[:, 0] + np.clip(shift, -0.5, 0.5)), b


def _smooth_power(frames: np.ndarray, f0_hz: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, float]:
    """(K, F) power spectra without harmonics, and the width of a bin: three periods, smoothed over one F0."""
    length = frames.shape[1]
    size = scipy.fft.next_fast_len(2 * length, real=True)
    offset = (np.arange(length) - length / 2)[None] / sample_rate_hz * f0_hz[:, None] / 1.5
    taper = np.where(np.abs(offset) < 1, 0.5 + 0.5 * np.cos(np.pi * offset), 0).astype(np.float32)
    power = np.square(np.abs(scipy.fft.rfft(frames * taper, n=size)))
    bin_hz = sample_rate_hz / size
    return scipy.ndimage.uniform_filter1d(power, max(round(float(np.median(f0_hz)) / bin_hz), 1), axis=1), bin_hz


def _tract_cm(power: np.ndarray, bin_hz: float, f0_hz: float) -> float:
    """Length whose ceiling gives that length again; of several one that F0 lets expect and most frames have."""
    emphasised = power * (1 + np.square(np.arange(power.shape[1]) * bin_hz / 50.0)).astype(np.float32)
    expected = EXPECTED_CM * (np.clip(f0_hz, 90.0, 400.0) / EXPECTED_F0_HZ) ** EXPECTED_SLOPE
    log_length = np.log(expected) + np.linspace(-SEARCH, SEARCH, LENGTHS)
    found = [_excess(emphasised, bin_hz, length_cm) for length_cm in np.exp(log_length)]
    excess, complete = np.array(found).T
    falls = np.flatnonzero((excess[:-1] > 0) & (excess[1:] <= 0))
    if not len(falls):
        return float(np.exp(log_length[np.argmin(np.abs(excess))]))
    distance = np.abs(falls - (LENGTHS - 2) / 2) * (2 * SEARCH / (LENGTHS - 1))
    at = falls[np.argmax(COMPLETENESS * (complete[falls] + complete[falls + 1]) - np.square(distance / NEAR))]
    near = slice(max(at - 2, 0), at + 4)
    slope, offset = np.polyfit(log_length[near], excess[near], 1)
    crossing = -offset / min(slope, -0.3)
    return float(np.exp(np.clip(crossing, log_length[max(at - 1, 0)], log_length[min(at + 2, LENGTHS - 1)])))


def _excess(power: np.ndarray, bin_hz: float, length_cm: float) -> tuple[float, float]:
    """By how much, in logarithms, formants below a length's ceiling suggest a longer one; in which share of frames."""
    spacing = SOUND_SPEED_CM_S / (2 * length_cm)
    ceiling_hz = min(SPACINGS * spacing, bin_hz * (power.shape[1] - 1))
    poles = 2 * round(ceiling_hz / spacing) + EXTRA_POLES
    formants = _formants_hz(power[:, : round(ceiling_hz / bin_hz) + 1], ceiling_hz, spacing, poles)
    order = np.arange(1, FORMANTS + 1) - 0.5
    fits = formants @ order / np.square(order).sum()
    complete = fits[~np.isnan(fits)]
    if not len(complete):
        return 0.0, 0.0
    return float(np.log(spacing / np.median(complete))), len(complete) / len(fits)


def _formants_hz(power: np.ndarray, ceiling_hz: float, spacing: float, poles: int) -> np.ndarray:
    """(K, 4) lowest resonances of each frame's linear prediction up to the ceiling; NaN where there are fewer."""
    correlation = scipy.fft.irfft(power.astype(np.float64))[:, : poles + 1]
    polynomial = _linear_prediction(correlation)
    companion = np.zeros((len(power), poles, poles))
    companion[:, 0] = -polynomial[:, 1:]
    companion[:, np.arange(1, poles), np.arange(poles - 1)] = 1
    roots = np.linalg.eigvals(companion)
    frequency = np.angle(roots) / np.pi * ceiling_hz
    width = -np.log(np.maximum(np.abs(roots), 1e-9)) * 2 * ceiling_hz / np.pi
    good = (frequency > LOWEST_FORMANT * spacing) & (frequency < 0.98 * ceiling_hz) & (width < WIDEST_FORMANT * spacing)
    return np.sort(np.where(good, frequency, np.nan), axis=1)[:, :FORMANTS]


def _linear_prediction(correlation: np.ndarray) -> np.ndarray:
    """(K, P + 1) prediction polynomials of (K, P + 1) autocorrelations by Levinson's recursion."""
    polynomial = np.zeros_like(correlation)
    polynomial[:, 0] = 1
    error = correlation[:, 0] * (1 + 1e-6) + 1e-30
    for step in range(1, correlation.shape[1]):
        reflected = -(polynomial[:, :step] * correlation[:, step:0:-1]).sum(axis=1) / error
        polynomial[:, : step + 1] += reflected[:, None] * polynomial[:, step::-1]
        error = error * (1 - np.square(reflected))
    return polynomial


def _tilt(power: np.ndarray, bin_hz: float, f0_hz: float) -> float:
    low = max(TILT_LOW_HZ, f0_hz)
    octaves = np.linspace(np.log2(low), np.log2(min(TILT_HIGH_HZ, 0.95 * bin_hz * (power.shape[1] - 1))), 60)
    level = 10 * np.log10(np.interp(2**octaves, np.arange(power.shape[1]) * bin_hz, power.mean(axis=0)) + 1e-20)
    return float(np.polyfit(octaves, level, 1)[0])

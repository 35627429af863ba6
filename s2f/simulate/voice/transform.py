"""Change a recorded voice into another speaker's: pitch, vocal-tract length, tempo, level, tremor and breath apart."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr

from s2f.errors import AudioError, AudioTooShort, UsageError
from s2f.simulate.voice.acoustics import VoiceMeasures, median_f0_hz
from s2f.simulate.voice.time_stretch import overlap_add, stretch

MIN_SECONDS = 0.2
RANGES = {
    "pitch": (0.4, 3.0),
    "formants": (0.6, 1.7),
    "tempo": (0.5, 2.0),
    "level_db": (-60.0, 60.0),
    "tremor": (0.0, 0.1),
    "tremor_hz": (1.0, 15.0),
    "breath": (0.0, 2.0),
}
ELDER_YEARS, ELDEST_YEARS = 60.0, 85.0
ELDEST_TREMOR, ELDEST_BREATH = 0.03, 0.2
WINDOW_S, HOP_S = 0.04, 0.01
DEFAULT_F0_HZ = 150.0  # without a voiced part
QUEFRENCY_PERIODS, MAX_QUEFRENCY_S = 0.45, 0.0025  # the envelope's detail stays below the pitch period
MAX_LOG_GAIN = 4.6  # 40 dB
TOP_BAND = 0.95  # share of the band below Nyquist where recordings still carry sound
FILL_FROM, FILL_TO = 0.89, 0.95  # where soxr's filter begins to fall and has fallen, in the same measure


@dataclass(frozen=True)
class VoiceChange:
    """What to change; each field leaves what the others govern alone.

    Attributes:
        pitch: factor on the fundamental frequency, 0.4 to 3.
        formants: factor on the formant frequencies, which is one over the factor on the vocal-tract length, 0.6 to 1.7.
        tempo: factor on the speaking rate, which divides the duration, 0.5 to 2.
        level_db: change of the rms level in dB, -60 to 60.
        tremor: amplitude of a sinusoidal modulation of F0 relative to F0, 0 to 0.1; an old voice has 0.012 to 0.03.
        tremor_hz: frequency of that modulation, 1 to 15.
        breath: noise added in proportion to the spectral envelope, 0 to 2; an old voice has 0.05 to 0.2.

    Raises:
        UsageError: a value outside its range.
    """

    pitch: float = 1.0
    formants: float = 1.0
    tempo: float = 1.0
    level_db: float = 0.0
    tremor: float = 0.0
    tremor_hz: float = 5.0
    breath: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                fix = "beyond that range the result no longer sounds like a voice; choose a source nearer to the target"
                raise UsageError(f"{name} between {low:g} and {high:g}", f"{value:g}", fix)


def change_for(
    source: VoiceMeasures, f0_hz: float, tract_cm: float, tempo: float, level_db: float, age_years: float
) -> VoiceChange:
    """The change that gives a measured voice another pitch, vocal tract, tempo, level and age.

    Above 60 years tremor grows linearly to 3 % of F0 at 85 (1.2 % at 70) while slowing from 7 to 4 Hz, and breath to
    0.2 (0.08 at 70); both stay there.

    Args:
        source: measures of the recording that will be changed.
        f0_hz: wanted median F0.
        tract_cm: wanted apparent vocal-tract length.
        tempo: wanted speaking rate relative to the recording's.
        level_db: wanted change of level.
        age_years: age of the wanted speaker.

    Returns:
        The change.

    Raises:
        UsageError: the wanted voice is too far from the source.
    """
    share = min(max((age_years - ELDER_YEARS) / (ELDEST_YEARS - ELDER_YEARS), 0.0), 1.0)
    return VoiceChange(
        pitch=f0_hz / source.f0_hz,
        formants=source.tract_cm / tract_cm,
        tempo=tempo,
        level_db=level_db,
        tremor=ELDEST_TREMOR * share,
        tremor_hz=7.0 - 3.0 * share,
        breath=ELDEST_BREATH * share,
    )


def change_voice(
    waveform: np.ndarray, sample_rate_hz: int, change: VoiceChange, rng: np.random.Generator
) -> np.ndarray:
    """Change pitch, formants, tempo and level of a voice independently.

    * F0 is multiplied by `pitch`, by nothing else; `tremor` swings it around that value.
    * Formants are multiplied by `formants`; `tremor` swings them along by its few percent.
    * The duration is divided by `tempo`, by nothing else.
    * The rms over the whole clip becomes the input's times 10^(level_db / 20), whatever else changes. If that would
      take the peak above 1, the whole result is scaled to a peak of 1 and is quieter than asked.

    Resampling by `pitch` moves F0 and formants, `s2f.simulate.voice.time_stretch.stretch` restores the duration, and
    each frame's spectrum is multiplied by E(f / formants) / E(f / pitch) with E the source's cepstral envelope there.
    The lifter reaches 0.45 pitch periods and at most 2.5 ms, so that it never follows the harmonics of a high voice.
    Nothing folds: soxr band-limits. Where that leaves the top of the band empty (above 0.95 of Nyquist, times `pitch`
    if it is lowered), noise in the shape of the wanted envelope fills it; where lowering formants asks for an envelope
    above the source's band, its highest value is held. Without any change the input comes back bit by bit.

    Args:
        waveform: (S,) float32 in [-1, 1].
        sample_rate_hz: samples per second, 8000 or more.
        change: what to change.
        rng: source of the tremor's phase and of the noise.

    Returns:
        (round(S / tempo),) float32 in [-1, 1].

    Raises:
        AudioError: not one channel of finite samples in [-1, 1], or a low sample rate.
        AudioTooShort: less than 0.2 s.
    """
    _check(waveform, sample_rate_hz)
    x = np.asarray(waveform, dtype=np.float32)
    sound, length = x, round(len(x) / change.tempo)
    phase = rng.uniform(0, 2 * math.pi)
    shaped = change.pitch != 1 or change.formants != 1 or change.breath > 0
    f0_hz = DEFAULT_F0_HZ
    if shaped or change.tempo != 1:
        f0_hz = median_f0_hz(x, sample_rate_hz) or DEFAULT_F0_HZ
    if change.pitch != 1:
        sound = soxr.resample(sound, change.pitch * sample_rate_hz, sample_rate_hz)
    sound = stretch(sound, length, sample_rate_hz, f0_hz * change.pitch)
    if change.tremor > 0:
        sound = _tremble(sound, sample_rate_hz, change, phase)
    if shaped:
        envelope = _log_envelope(x, sample_rate_hz, change.tempo, length, f0_hz)
        sound = _shape(sound, envelope, sample_rate_hz, change, rng)
    if sound is x and change.level_db == 0:
        return x.copy()
    return _set_level(sound, x, change.level_db)


def _check(waveform: np.ndarray, sample_rate_hz: int) -> None:
    samples = np.asarray(waveform)
    if samples.ndim != 1 or samples.dtype.kind != "f" or sample_rate_hz < 8000:
        got = f"{samples.dtype} of shape {samples.shape} at {sample_rate_hz} Hz"
        raise AudioError("a mono float waveform at 8000 Hz or more", got, "load it with s2f.audio.load")
    if len(samples) < MIN_SECONDS * sample_rate_hz:
        got = f"{len(samples) / sample_rate_hz:.2f} s"
        raise AudioTooShort(f"a clip of at least {MIN_SECONDS} s", got, "record a longer clip, best 6 s or more")
    peak = float(np.abs(samples).max())
    if not peak <= 1.0:
        raise AudioError("finite samples in [-1, 1]", f"a peak of {peak:g}", "load the clip with s2f.audio.load")


def _frames(sound: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """(K, length) frames centred on `starts`, zeros beyond the ends."""
    half = length // 2
    padded = np.pad(sound, (half, length))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[np.minimum(starts, len(sound))]


def _sizes(sample_rate_hz: int) -> tuple[int, int, int]:
    hop = round(HOP_S * sample_rate_hz)
    window = round(WINDOW_S / HOP_S) * hop
    return window, hop, scipy.fft.next_fast_len(3 * window // 2, real=True) // 2 * 2


def _log_envelope(x: np.ndarray, sample_rate_hz: int, tempo: float, length: int, f0_hz: float) -> np.ndarray:
    """(K, size / 2 + 1) smooth log magnitude spectra of the source at the moments of the result's frames."""
    window, hop, size = _sizes(sample_rate_hz)
    starts = np.round(np.arange(0, length + hop, hop) * tempo).astype(int)
    spectrum = np.abs(scipy.fft.rfft(_frames(x, starts, window) * np.hanning(window).astype(np.float32), n=size))
    floor = 1e-4 * float(np.sqrt(np.mean(np.square(spectrum)))) + 1e-12
    cepstrum = scipy.fft.irfft(np.log(spectrum + floor), n=size)[:, : size // 2 + 1]
    reach = min(QUEFRENCY_PERIODS / f0_hz, MAX_QUEFRENCY_S) * sample_rate_hz
    lifter = np.cos(np.clip(np.arange(cepstrum.shape[1]) / reach - 0.5, 0.0, 0.5) * math.pi) ** 2
    half = cepstrum * lifter.astype(np.float32)
    return scipy.fft.rfft(np.concatenate([half, half[:, -2:0:-1]], axis=1), n=size).real


def _warped(envelope: np.ndarray, factor: float) -> np.ndarray:
    """The envelope with its frequencies multiplied by `factor`, held at the top of its band."""
    last = int(TOP_BAND * (envelope.shape[1] - 1))
    position = np.minimum(np.arange(envelope.shape[1]) / factor, last if factor < 1 else envelope.shape[1] - 1)
    below = np.minimum(position.astype(int), envelope.shape[1] - 2)
    weight = (position - below).astype(np.float32)
    return envelope[:, below] * (1 - weight) + envelope[:, below + 1] * weight


def _shape(
    sound: np.ndarray, envelope: np.ndarray, sample_rate_hz: int, change: VoiceChange, rng: np.random.Generator
) -> np.ndarray:
    """Give the frames the wanted envelope, fill an empty top band and add breath."""
    window, hop, size = _sizes(sample_rate_hz)
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    starts = np.arange(0, len(sound) + hop, hop)
    spectrum = scipy.fft.rfft(_frames(sound, starts, window) * np.sqrt(taper), n=size)
    wanted = _warped(envelope, change.formants)
    gain = np.exp(np.clip(wanted - _warped(envelope, change.pitch), -MAX_LOG_GAIN, MAX_LOG_GAIN))
    frequency = np.linspace(0, 1, spectrum.shape[1], dtype=np.float32) / min(change.pitch, 1.0)
    fill = np.clip((frequency - FILL_FROM) / (FILL_TO - FILL_FROM), 0, 1) * (change.pitch != 1)
    spectrum *= gain * np.sqrt(1 - fill)
    amount = np.sqrt(fill + change.breath**2)
    if amount.any():
        noise = rng.standard_normal(len(sound), dtype=np.float32)
        hiss = scipy.fft.rfft(_frames(noise, starts, window) * np.sqrt(taper), n=size)
        hiss /= np.exp(np.mean(np.log(np.abs(hiss) + 1e-9)))  # like the envelope: one in the mean of the logarithm
        spectrum += hiss * np.exp(wanted) * amount * np.float32(math.sqrt(taper.sum() / np.square(taper).sum()))
    return overlap_add(scipy.fft.irfft(spectrum, n=size)[:, :window] * np.sqrt(taper), hop, window // 2, len(sound))


def _tremble(sound: np.ndarray, sample_rate_hz: int, change: VoiceChange, phase: float) -> np.ndarray:
    index = np.arange(len(sound))
    turn = 2 * math.pi * change.tremor_hz / sample_rate_hz
    swing = change.tremor / turn * np.cos(turn * index + phase)
    return scipy.ndimage.map_coordinates(sound, [index - swing], order=3, mode="nearest")


def _set_level(sound: np.ndarray, source: np.ndarray, level_db: float) -> np.ndarray:
    wanted = float(np.sqrt(np.mean(np.square(source, dtype=np.float64)))) * 10 ** (level_db / 20)
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    gain = wanted / max(rms, 1e-12)
    return np.clip(sound * (gain / max(1.0, gain * float(np.abs(sound).max()))), -1.0, 1.0).astype(np.float32)

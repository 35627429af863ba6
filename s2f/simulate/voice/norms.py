"""What a voice of some gender and age is like on average: pitch, vocal-tract length and tempo from the literature."""

import numpy as np

from s2f.errors import UsageError

MIN_YEARS, MAX_YEARS = 5.0, 85.0
F0_SPREAD = 0.12  # standard deviation of log F0 within gender and age: 2.1 semitones
TRACT_SPREAD = 0.045  # standard deviation of log tract length within gender and age

_F0_HZ: dict[str, dict[int, float]] = {
    "f": {5: 255, 8: 245, 10: 240, 12: 228, 14: 218, 16: 212, 20: 210, 35: 205, 50: 196, 65: 185, 75: 180, 85: 177},
    "m": {
        **{5: 252, 8: 242, 10: 236, 12: 220, 13: 195, 14: 165, 15: 142, 16: 130, 18: 122},
        **{25: 120, 35: 112, 45: 107, 55: 113, 65: 117, 75: 132, 85: 146},
    },
}
_TRACT_CM: dict[str, dict[int, float]] = {
    "f": {5: 11.3, 8: 12.4, 10: 13.0, 12: 13.7, 14: 14.2, 16: 14.5, 20: 14.6, 60: 14.6, 85: 14.8},
    "m": {5: 11.4, 8: 12.6, 10: 13.2, 12: 14.0, 14: 15.3, 16: 16.4, 18: 16.9, 20: 17.0, 60: 17.0, 85: 17.2},
}
_TEMPO: dict[int, float] = {5: 0.68, 8: 0.80, 12: 0.92, 16: 0.98, 20: 1.0, 45: 1.0, 60: 0.94, 70: 0.88, 85: 0.76}


def f0_norm_hz(gender: str, age_years: float) -> float:
    """Mean fundamental frequency of speech.

    Men of 20 to 85 follow Hollien and Shipp 1972 (read speech; decades of 20 to 89 at 120, 112, 107, 118, 112, 132,
    146 Hz, of which the abstract prints 120, 107 and 146; the dip of the sixties is smoothed here). Young adults agree
    with 120 and 210 Hz in Traunmüller and Eriksson 1995. Women fall with age by about 30 Hz, as in Nishio and Niimi
    2008, Honjo and Isshiki 1980 and Stathopoulos, Huber and Sussman 2011: approximate, the studies differ by 15 Hz.
    Children follow Lee, Potamianos and Narayanan 1999 and Hillenbrand et al. 1995: approximate, read off from memory of
    their figures and lowered a little, since theirs are single words; the break of the boys' voices lies at 12 to 15.

    Args:
        gender: "f" or "m".
        age_years: 5 to 85.

    Returns:
        F0 in Hz, continuous in age.

    Raises:
        UsageError: another gender or age.
    """
    return _between(_F0_HZ, gender, age_years)


def tract_norm_cm(gender: str, age_years: float) -> float:
    """Mean vocal-tract length as the formants suggest it, which is what `measure_voice` measures.

    The shape follows Fitch and Giedd 1999 and Vorperian et al. 2009 (magnetic resonance: no sex difference
    before puberty, then a second descent of the larynx in boys); the scale is that of formants, from the ratios of
    children to adults in Lee, Potamianos and Narayanan 1999 and Hillenbrand et al. 1995 (women 1.15 to 1.17
    times as high as men, children of 5 about 1.5 times). All values are approximate. After 60 it grows by 1 %, after
    Linville and Rena 2001, who found lower formants in old speakers.

    Args:
        gender: "f" or "m".
        age_years: 5 to 85.

    Returns:
        Length in cm, continuous in age.

    Raises:
        UsageError: another gender or age.
    """
    return _between(_TRACT_CM, gender, age_years)


def tempo_norm(age_years: float) -> float:
    """Mean speaking rate relative to that of young adults.

    Children after Lee, Potamianos and Narayanan 1999 (segments of five-year-olds last about 1.5 times as long, and
    adult values are reached at about 15); old speakers after Hollien and Shipp 1972 (reading took men in their eighties
    50 % longer than men in their twenties, mostly by pauses; the norm takes somewhat less). Approximate.

    Args:
        age_years: 5 to 85.

    Returns:
        Factor, 1 at 20 to 45 years, continuous in age.

    Raises:
        UsageError: another age.
    """
    return _between({"any": _TEMPO}, "any", age_years)


def _between(tables: dict[str, dict[int, float]], gender: str, age_years: float) -> float:
    if gender not in tables or not MIN_YEARS <= age_years <= MAX_YEARS:
        got = f"gender {gender!r} and age {age_years:g}"
        raise UsageError("gender f or m and an age of 5 to 85 years", got, "no norms are known beyond; choose within")
    table = tables[gender]
    return float(np.interp(age_years, list(table), list(table.values())))

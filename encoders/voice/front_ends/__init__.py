"""Waveform to spectrogram: what the voice networks read."""

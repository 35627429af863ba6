"""Gradio apps; the browser demo is planned and not here yet."""

"""Gradio apps (the browser demo arrives with issue H)."""

"""Gradio apps. Importing them needs the extra `demo`; `s2f demo` starts the browser demo."""

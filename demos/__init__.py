"""The browser demo (Gradio). Importing it needs the extra `demo`; `s2f demo` starts it."""

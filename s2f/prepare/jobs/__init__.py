"""Resumable preparation in several processes."""

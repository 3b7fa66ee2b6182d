"""The REST channel. `main.py` makes the app; one file for each group of routes."""

"""The Celery channel. `main.py` is the app: its tasks, and when beat sends them."""

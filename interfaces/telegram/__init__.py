"""The Telegram channel. `main.py` runs the bot; `bot.py` is what it answers."""

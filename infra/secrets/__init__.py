"""Secrets, and the tokens and signatures made with them."""

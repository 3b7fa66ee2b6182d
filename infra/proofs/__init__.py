"""Proof that nobody changed the ledger: its tree, its signed heads, and who checks them."""

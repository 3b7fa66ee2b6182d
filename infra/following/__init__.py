"""What follows the ledger: read tables, the relay, and whoever waits for them."""

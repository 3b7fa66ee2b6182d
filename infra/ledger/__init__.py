"""The ledger: one table of events in Postgres, written by group commit."""

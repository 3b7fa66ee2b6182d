"""The machine under the read models: tables, folding, writing and reading."""

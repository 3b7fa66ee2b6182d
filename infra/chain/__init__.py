"""A chain of clubs: their ledgers out to Kafka, and in to the read tables of all of them."""

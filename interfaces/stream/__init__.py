"""A worker of a chain of clubs: Kafka in, by Faust."""

"""AsyncAPI 3.1: what the club takes from RabbitMQ and publishes to it."""

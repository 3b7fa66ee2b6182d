"""The RabbitMQ channel. `main.py` runs it, `topology.py` names its exchanges and queues."""

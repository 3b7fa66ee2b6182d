"""The adapters: what the club's rules meet of the world, and the one place that wires them."""

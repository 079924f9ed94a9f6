"""How a context is reached: options, connectors, their registry, and why a start or a link ended."""

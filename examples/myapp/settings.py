"""What the other modules share."""

GREETING = 'Hello from'

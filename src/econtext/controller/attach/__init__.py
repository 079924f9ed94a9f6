"""Programs that use the contexts of another program: the server and the client."""

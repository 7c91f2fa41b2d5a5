"""Of the WebUI's built-in Lora extension."""

class NetworkOnDisk:
    name: str
    filename: str
    alias: str

    def __init__(self, name: str, filename: str) -> None: ...

class Network:
    name: str

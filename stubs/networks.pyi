"""Of the WebUI's built-in Lora extension, whose folder lies on the module search path."""

from typing import Any

from network import Network, NetworkOnDisk
from torch import nn

available_networks: dict[str, NetworkOnDisk]
available_network_aliases: dict[str, NetworkOnDisk]
forbidden_network_aliases: dict[str, int]
loaded_networks: list[Network]
networks_in_memory: dict[str, Network]

# Forge's and reForge's: a function with a cache
load_lora_state_dict: Any

def network_apply_weights(self: nn.Module) -> None: ...

from typing import Any

from .sd_models_types import WebuiSdModel

class CheckpointInfo:
    filename: str
    name: str
    title: str
    sha256: str | None
    metadata: dict[str, str]

model_path: str
checkpoints_list: dict[str, CheckpointInfo]
checkpoint_aliases: dict[str, CheckpointInfo]

class SdModelData:
    sd_model: WebuiSdModel | None
    # Forge's
    forge_loading_parameters: dict[str, Any]
    forge_hash: str

model_data: SdModelData

def forge_model_reload() -> tuple[Any, bool]: ...  # Forge's
def list_models() -> None: ...
def get_closet_checkpoint_match(search_string: str) -> CheckpointInfo | None: ...
def model_hash(filename: str) -> str: ...
def reload_model_weights(
    sd_model: WebuiSdModel | None = None,
    info: CheckpointInfo | None = None,
    forced_reload: bool = False,
) -> WebuiSdModel | None: ...
def apply_token_merging(sd_model: WebuiSdModel, token_merging_ratio: float) -> None: ...

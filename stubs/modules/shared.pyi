from argparse import Namespace

from .options import OptionInfo as OptionInfo
from .options import Options
from .sd_models_types import WebuiSdModel
from .shared_state import State
from .upscaler import UpscalerData

class CommandLine(Namespace):
    lora_dir: str  # of the Lora extension
    ckpt_dir: str | None
    api_auth: str | None
    cors_allow_origins: str | None
    cors_allow_origins_regex: str | None

cmd_opts: CommandLine
opts: Options
state: State
sd_model: WebuiSdModel | None
sd_upscalers: list[UpscalerData]
loaded_hypernetworks: list[object]

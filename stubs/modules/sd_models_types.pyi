from ldm.models.diffusion.ddpm import LatentDiffusion

from .sd_hijack_clip import FrozenCLIPEmbedderWithCustomWordsBase
from .sd_models import CheckpointInfo

class WebuiSdModel(LatentDiffusion):
    cond_stage_model: FrozenCLIPEmbedderWithCustomWordsBase
    lowvram: bool  # --medvram counts too
    used_config: str  # path of the .yaml by which it was built
    sd_checkpoint_info: CheckpointInfo

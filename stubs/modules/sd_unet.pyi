from torch import nn

class SdUnetOption:
    label: str

class SdUnet(nn.Module):
    option: SdUnetOption

current_unet: SdUnet | None

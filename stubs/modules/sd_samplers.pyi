class SamplerData:  # of modules.sd_samplers_common
    name: str

all_samplers: list[SamplerData]

def get_sampler_and_scheduler(
    sampler_name: str, scheduler_name: str, *, convert_automatic: bool = True
) -> tuple[str, str]: ...

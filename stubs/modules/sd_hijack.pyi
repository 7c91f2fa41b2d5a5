class StableDiffusionModelHijack:
    def get_prompt_lengths(self, text: str) -> tuple[int, int]: ...

model_hijack: StableDiffusionModelHijack

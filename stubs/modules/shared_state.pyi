class State:
    skipped: bool
    interrupted: bool
    stopping_generation: bool
    job: str
    job_no: int
    job_count: int
    textinfo: str | None

    def begin(self, job: str = "(unknown)") -> None: ...
    def end(self) -> None: ...
    def interrupt(self) -> None: ...

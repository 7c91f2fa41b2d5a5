"""One use-case each: (settings, workspace, host, job) -> result."""

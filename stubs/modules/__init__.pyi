"""Types for what we use of AUTOMATIC1111's WebUI 1.10.1, which has none of its own.

Read by mypy alone (`mypy_path` in pyproject.toml). A name that is not here is one we do not use:
add it with the signature that the WebUI's source has.
"""

from typing import Any

paste_fields: dict[str, dict[str, Any]]

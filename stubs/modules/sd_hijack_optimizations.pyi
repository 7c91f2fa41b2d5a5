from typing import Any

from torch import Tensor

def xformers_attention_forward(
    self: Any, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **kwargs: Any
) -> Tensor: ...
def scaled_dot_product_attention_forward(
    self: Any, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **kwargs: Any
) -> Tensor: ...

"""A list as OpenRouter writes it, which several tests read."""

from __future__ import annotations

LIST = {
    "data": [
        {
            "id": "org/model",
            "created": 1_700_000_000,
            "context_length": 8192,
            "pricing": {
                "prompt": "0.00000015",
                "completion": "0.0000006",
                "input_cache_read": "0.000000075",
                "internal_reasoning": "0",
                "request": "0.01",
            },
            "top_provider": {"max_completion_tokens": 4096},
        },
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "no/price"},
        {"id": "free/model", "pricing": {"prompt": "0", "completion": "0"}},
    ]
}

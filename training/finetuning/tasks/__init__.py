"""The tasks that an encoder is fine-tuned for; `task` holds what the engine asks of each of them."""

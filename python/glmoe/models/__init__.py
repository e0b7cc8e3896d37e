"""The model's commands, under the names of TensorRT-LLM's users."""

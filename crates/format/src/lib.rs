//! Model files: GGUF, safetensors and MLX, mapped and checked; block types.

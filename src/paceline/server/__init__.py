"""The HTTP app: OpenAI and llama.cpp dialects, health and the playground page."""

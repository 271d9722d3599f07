"""Foreign engines behind the Tier protocol (vLLM, SGLang, llama.cpp, a hosted API): anything OpenAI-compatible."""

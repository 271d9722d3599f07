"""The worker's own OpenAI server, asked over real sockets. Only test_process.py has a model."""

"""The worker's own OpenAI server: chat, completions in text and token ids, models, health and metrics. Answers are made
by edgewise/api; here are the completions dialect, several answers to one request, and the way in."""

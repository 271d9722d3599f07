"""Work that outlives a request: one SQL row per job, with a lease and an epoch; Celery only carries wake-ups."""

"""The all-in-one stack behind `edgewise up`: its processes, started, restarted and stopped by one supervisor."""

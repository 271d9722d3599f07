"""Stand-ins for the world around the processes: networks that listen in, break, or slow down."""

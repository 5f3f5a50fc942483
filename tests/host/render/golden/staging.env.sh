# The environment of the staging profile, made by `coord render env` (coord 0.1.0).
# Make it anew when ports change; it is not meant to be edited.
export COORD_PROFILE="staging"
export WEBSOCKET_PORT="8767"      # WebSocket (default 8765 + 2)
export METRICS_PORT="9092"        # Prometheus (default 9090 + 2)
# export REDIS_PORT="6381"        # not set: the journal is embedded; this would move it to Redis

# The environment of the production profile, made by `coord render env` (coord 0.1.0).
# Make it anew when ports change; it is not meant to be edited.
export COORD_PROFILE="production"
export WEBSOCKET_PORT="8766"      # WebSocket (default 8765 + 1)
export METRICS_PORT="9091"        # Prometheus (default 9090 + 1)
# export REDIS_PORT="6380"        # not set: the journal is embedded; this would move it to Redis

# The environment of the development profile, made by `coord render env` (coord 0.1.0).
# Make it anew when ports change; it is not meant to be edited.
export COORD_PROFILE="development"
export WEBSOCKET_PORT="8768"      # WebSocket (default 8765 + 3)
export METRICS_PORT="9093"        # Prometheus (default 9090 + 3)
# export REDIS_PORT="6382"        # not set: the journal is embedded; this would move it to Redis

# The environment of the testing profile, made by `coord render env` (coord 0.1.0).
# Make it anew when ports change; it is not meant to be edited.
export COORD_PROFILE="testing"
export WEBSOCKET_PORT="8769"      # WebSocket test instances (8769-8780)
export METRICS_PORT="9094"        # Prometheus test instances (9094-9100)
# export REDIS_PORT="6383"        # not set: the journal is embedded; this would move it to Redis

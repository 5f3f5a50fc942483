# The environment of the production profile, made by `coord render env` (coord 0.1.0).
# Make it anew when ports change; it is not meant to be edited.
export COORD_PROFILE="production"
export COORD_STATE_DIR="/srv/coord/state"
export WEBSOCKET_HOST="0.0.0.0"
export WEBSOCKET_PORT="9000"      # WebSocket (custom; the production profile has 8766)
export WEBSOCKET_SSL_ENABLED="true"
export COORD_TLS_CERTIFICATE_FILE="/etc/coord/certificate.pem"
export COORD_TLS_KEY_FILE="/etc/coord/key.pem"
export COORD_ALLOWED_HOSTS="agents.example,gateway.example:9000"
export METRICS_PORT="8080"        # Prometheus (custom; the production profile has 9091)
export METRICS_PATH="/custom-metrics"
export REDIS_HOST="127.0.0.1"
export REDIS_PORT="6400"          # Redis (custom; the production profile has 6380)
export REDIS_USER="coord"
# The password of Redis is not written here; it came from REDIS_PASSWORD.
# Put it into a file of mode 600 and set REDIS_PASSWORD_FILE to its path.

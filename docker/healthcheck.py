"""Ask the service whether it is ready; exit status 0 if so."""

import os
import sys
from http.client import HTTPConnection, HTTPException

connection = HTTPConnection(
    "127.0.0.1", int(os.environ.get("KERASBNN_SERVE_PORT") or 8000), timeout=3
)
try:
    connection.request("GET", "/v2/health/ready")
    status = connection.getresponse().status
except (OSError, HTTPException) as error:
    sys.exit(f"no answer: {error}")
sys.exit(0 if status == 200 else f"not ready: status {status}")

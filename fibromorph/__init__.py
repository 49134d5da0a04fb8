"""fibromorph: from a T1-weighted scan to regional brain volumes and honest statistics."""

import os

__version__ = "0.15.0"

# ONNX Runtime and MLflow report to their makers unless told not to. Here as early as can be, and
# inherited by every worker: scans are patients', and hospitals' networks are closed.
for _name in ("ORT_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "true")

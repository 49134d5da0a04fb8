"""A finished bundle in MLflow's model registry, where a service can follow it by its alias."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from fibromorph.errors import ConfigError
from fibromorph.manifest import Bundle, open_bundle, shipped_names
from fibromorph.training.store import require_store, tracking_uri

IMAGE = (-1, -1, -1)
OUTPUTS = Schema(
    [
        TensorSpec(np.dtype(np.uint8), IMAGE, "labels"),
        TensorSpec(np.dtype(np.float32), (-1,), "soft_voxels"),
        TensorSpec(np.dtype(np.uint8), IMAGE, "confidence"),
    ]
)
"""Of the segmentation graph, see `models.graph.SegmentationGraph`."""

EXPERIMENT = "bundles"
"""That the runs belong to which register them."""

SERVED = "mlflow-artifacts"
"""Scheme of what a server keeps for its clients; any other address is good for this machine only,
or for those with the same storage."""

ALIAS = re.compile(r"(?!(latest|v\d+)$)[\w-]+", re.IGNORECASE)


def register_bundle(folder: Path, name: str, alias: str) -> int:
    """Register a bundle as a new version of a model, and point an alias at it.

    Says so when no service will be able to fetch the version.

    The version's artifacts are an MLflow ONNX model, with its signature, and beside it the files of
    the bundle: a service that follows the alias takes those.

    Args:
        folder: of the bundle.
        name: of the registered model; made when it does not exist.
        alias: such as 'production'; moves to the new version.

    Returns:
        The number of the version.

    Raises:
        BundleError: the bundle is damaged.
        ConfigError: the name is that of a bundle that ships; or MLflow refuses the name or the
            alias, or cannot be reached.
    """
    bundle = open_bundle(folder)
    _require_alias(alias)
    if name in shipped_names():
        rule = "the name of a bundle that ships may not come to mean another: take one of your own"
        raise ConfigError(rule, value=name, subject="--name")
    require_store(tracking_uri())
    try:
        mlflow.set_tracking_uri(tracking_uri())
        mlflow.set_experiment(EXPERIMENT)
        version = _register(bundle, name, alias)
        _warn_if_unserved(name, version)
    except MlflowException as error:
        raise ConfigError("MLflow must accept the model", value=error, subject=name) from error
    return version


def _register(bundle: Bundle, name: str, alias: str) -> int:
    client, manifest = MlflowClient(), bundle.manifest
    graph = onnx.load(bundle.network_path)
    tags = {
        "version": manifest.version,
        "licence": manifest.licence,
        "sha256": manifest.network.sha256,
    }
    if manifest.training.run_id:
        tags["training_run_id"] = manifest.training.run_id
    with mlflow.start_run(run_name=f"register {manifest.full_name}"):
        mlflow.log_metrics({_metric(key): value for key, value in manifest.scores.items()})
        model = mlflow.onnx.log_model(
            graph,
            name=manifest.name,
            signature=_signature_of(graph),
            save_as_external_data=False,
        )
        client.log_model_artifacts(model.model_id, str(bundle.folder))
        version = mlflow.register_model(model.model_uri, name, tags=tags)
    client.set_registered_model_alias(name, alias, version.version)
    return int(version.version)


def _warn_if_unserved(name: str, version: int) -> None:
    uri = MlflowClient().get_model_version_download_uri(name, str(version))
    scheme = urlsplit(uri).scheme or "file"
    if scheme != SERVED:
        print(
            f"no service can fetch version {version} of {name}: its files are at {scheme}:, not at"
            f" {SERVED}:; register it with MLFLOW_TRACKING_URI=http://... of a server"
        )


def _require_alias(alias: str) -> None:
    """Refuse what MLflow would refuse, but only once the version is made."""
    if not ALIAS.fullmatch(alias):
        rule = "an alias is letters, digits, _ and -, and neither latest nor v1, v2, ..."
        raise ConfigError(rule, value=alias, subject="--alias")


def _signature_of(graph: onnx.ModelProto) -> ModelSignature:
    inputs = [TensorSpec(np.dtype(np.float32), IMAGE, given.name) for given in graph.graph.input]
    return ModelSignature(Schema(inputs), OUTPUTS)


def _metric(key: str) -> str:
    """MLflow allows letters, digits and some signs in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-./ " else "" for c in key)

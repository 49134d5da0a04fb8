"""What the service can be told: by options, FIBROMORPH_SERVE_* variables, a YAML file."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from fibromorph.errors import ConfigError
from fibromorph.manifest import MANIFEST_NAME
from fibromorph.serving.bundles import DEFAULT_BUNDLE, find_bundle, shipped_names
from fibromorph.serving.devices import available_cpus
from fibromorph.serving.extras import Extras
from fibromorph.text import without_credentials
from fibromorph.yaml_files import first_wrong, read_mapping

MIB = 1 << 20
CPUS_PER_WORKER = 4
FILE = "settings_file"
"""Under this name the file's content is handed to `Settings`; no setting is called so."""


class MlflowSource(BaseModel):
    """A registered model followed by its alias: `url` of the server, `name`, `alias`."""

    url: str = Field(pattern=r"^https?://")
    name: str
    alias: str = "production"

    @field_validator("name")
    @classmethod
    def _is_its_own(cls, name: str) -> str:
        """Two models of one name would take turns in being it."""
        if name in shipped_names():
            raise ValueError("a registered model needs a name of its own, such as t1-lab")
        return name


class OidcSource(BaseModel):
    """Who issues tokens, for whom they must be meant, and which claim lists the scopes."""

    issuer: str
    audience: str
    scopes_claim: str = "scope"


class Settings(BaseSettings):
    """Everything that can be configured; sizes and times carry their unit in the name.

    Attributes:
        data_dir: ledger, inputs and results; on a cluster, shared with the workers.
        database_url: SQLAlchemy URL; SQLite in `data_dir` if not given.
        scheduler: address of a Dask scheduler; a local cluster if not given.
        workers: processes of the local cluster; 0 = one for every four CPUs.
        threads: of the engine in each worker; 0 = the CPUs shared out evenly.
        worker_memory_mb: above which a worker is ended, and its job with it.
        model: what jobs get that do not choose: name of a bundle that ships or of the registered
            model, or the folder of one.
        thickness, tissue, vbm, atlases: what else is measured of every scan, see `Extras`.
        ship_models: offer the bundles that ship as well.
        models_dir: folder of bundle folders, looked at again every `reload_seconds`.
        allowed_models: sha256 of the networks that may be loaded besides those that ship.
        require_keys: ask for a key on loopback too.
        keep_inputs: leave the (header-free) scan in place after its job has ended.
        keep_free_mb: uploads are refused when less than this is free on the disk.
        allowed_hosts: names under which the service is reached, besides the address it binds to.
    """

    model_config = SettingsConfigDict(
        env_prefix="FIBROMORPH_SERVE_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    data_dir: Path = Path("fibromorph-data")
    database_url: str = ""
    scheduler: str = ""

    workers: int = Field(0, ge=0)
    threads: int = Field(0, ge=0)
    device: str = "auto"
    worker_memory_mb: int = Field(8192, ge=512)
    job_seconds: float = Field(1800, gt=0)
    cancel_grace_seconds: float = Field(5, ge=0)
    drain_seconds: float = Field(300, ge=0)

    model: str = DEFAULT_BUNDLE
    thickness: bool = False
    tissue: bool = False
    vbm: bool = False
    atlases: tuple[str, ...] = ()
    ship_models: bool = True
    models_dir: Path | None = None
    allowed_models: tuple[str, ...] = ()
    mlflow: MlflowSource | None = None
    reload_seconds: float = Field(30, gt=0)

    require_keys: bool = False
    oidc: OidcSource | None = None
    allowed_hosts: tuple[str, ...] = ()
    requests_per_minute: int = Field(1200, ge=1)
    uploads_per_minute: int = Field(120, ge=1)
    queue_length: int = Field(1000, ge=1)

    upload_mb: int = Field(1024, ge=1)
    intake_seconds: float = Field(30, gt=0)
    intake_memory_mb: int = Field(4096, ge=1024)
    keep_free_mb: int = Field(512, ge=0)
    keep_inputs: bool = False
    keep_results_days: float = Field(30, gt=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options, then the environment, so that a container can be adjusted, then the file."""
        assert isinstance(init_settings, InitSettingsSource)
        file = init_settings.init_kwargs.pop(FILE, {})
        environment = EnvSettingsSource(settings_cls)
        return (init_settings, environment, InitSettingsSource(settings_cls, file))

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'ledger.sqlite'}"

    @property
    def own_bundles(self) -> list[Path]:
        """The bundles' folders in `models_dir`, sorted."""
        own = self.models_dir.glob(f"*/{MANIFEST_NAME}") if self.models_dir is not None else ()
        return sorted(path.parent for path in own)

    @property
    def extras(self) -> Extras:
        """What is measured beyond volumes; workers find its files from wherever they run."""
        return Extras(self.thickness, self.vbm, self.tissue, self.atlases).everywhere()

    @property
    def worker_count(self) -> int:
        return self.workers or max(1, available_cpus() // CPUS_PER_WORKER)

    @property
    def engine_threads(self) -> int:
        return self.threads or max(1, available_cpus() // self.worker_count)

    @property
    def on_loopback(self) -> bool:
        """True if nobody outside this machine can reach the address that is bound to."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def load_settings(path: Path | None, **overrides: Any) -> Settings:
    """Settings of a YAML file.

    Args:
        path: the file; None = defaults and environment alone.
        overrides: options of the command line, which go before environment and file; those that
            are None are left out.

    Raises:
        ConfigError: missing file, not a mapping, an unknown key or a value out of range.
    """
    content = {} if path is None else read_mapping(path)
    given: dict[str, Any] = {k: value for k, value in overrides.items() if value is not None}
    try:
        return Settings(**given | {FILE: content})
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        variable = f"{Settings.model_config['env_prefix']}{named[1] if named else ''}".upper()
        rule = 'a variable that holds a list or a mapping must be JSON, such as ["a.example.org"]'
        raise ConfigError(rule, value=os.environ.get(variable), subject=variable) from error
    except ValidationError as error:
        place, rule, value = first_wrong(error, Settings)
        # A URL may hold a password.
        told = None if value is None else without_credentials(str(value))
        raise ConfigError(rule, value=told, subject=_whence(place, given, path)) from None


def require_model(settings: Settings, path: Path | None) -> None:
    """See that the default model is one, before a folder is made or a worker started.

    Raises:
        BundleError: it is not, with the file and key, or the variable, that names it.
    """
    registered = settings.mlflow.name if settings.mlflow else ""
    own = {folder.name for folder in settings.own_bundles}
    if settings.model != registered and Path(settings.model).name not in own:
        find_bundle(settings.model, _whence(("model",), {}, path))


def _whence(place: Sequence[str | int], given: Mapping[str, Any], path: Path | None) -> str:
    """The option, the variable, or the file and its key that a value stood in."""
    name, key = str(place[0]) if place else "", ".".join(map(str, place))
    if name in given:
        return f"--{key.replace('_', '-')}"
    variable = f"{Settings.model_config['env_prefix']}{name}".upper()
    for known in os.environ:
        if known.upper().partition("__")[0] == variable:
            return known
    return ", key ".join(part for part in (str(path or ""), key) if part)

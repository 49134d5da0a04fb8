"""The REST service: scans in, jobs that survive, results and a page to look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def serve(config: Path | None, **overrides: Any) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: YAML file, see `Settings`; None = defaults and environment.
        overrides: settings that go before the file's; None is left out.

    Raises:
        ConfigError: a setting is wrong, or does not allow the service to run safely; the address is
            another program's.
        BundleError: the default model cannot be loaded.
    """
    from fibromorph.serving.service.core import Service
    from fibromorph.serving.service.logs import configure_logs
    from fibromorph.serving.service.server import require_free, run
    from fibromorph.serving.service.settings import load_settings, require_model

    settings = load_settings(config, **overrides)
    require_model(settings, config)
    require_free(settings.host, settings.port)
    configure_logs()
    run(Service(settings))

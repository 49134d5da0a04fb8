"""The FastAPI application around a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import fibromorph
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.handlers import add_handlers
from fibromorph.serving.service.middleware import SameOrigin
from fibromorph.serving.service.routes import (
    atlases,
    health,
    jobs,
    models,
    page,
    results,
    scans,
    studies,
)

DESCRIPTION = (
    "From a T1-weighted scan to regional brain volumes, with their uncertainty. For research only: "
    "not a medical device."
)


def create_app(service: Service) -> FastAPI:
    """The application; its lifespan starts the service and stops it.

    Args:
        service: put together, not started.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.launch()
        yield
        await service.stop()

    app = FastAPI(
        title="fibromorph",
        version=fibromorph.__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.service = service
    add_handlers(app)
    for module in (scans, jobs, results, atlases, studies, models, health, page):
        app.include_router(module.router)
    page.add_files(app)
    app.add_middleware(SameOrigin, settings=service.settings)
    return app

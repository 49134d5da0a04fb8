"""`/v1/models`: what can be chosen."""

from __future__ import annotations

from fastapi import APIRouter

from fibromorph.serving.service.access import Admin, Reader
from fibromorph.serving.service.core import Service
from fibromorph.serving.service.routes.parts import The, problems
from fibromorph.serving.service.schemas import ModelList, model_card

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", responses=problems(503))
def get_models(service: The, caller: Reader) -> ModelList:  # noqa: ARG001
    """The models that jobs can choose."""
    return _listed(service)


@router.post("/models/reload", responses=problems(503))
async def reload_models(service: The, caller: Admin) -> ModelList:
    """Look for new versions now; one that fails leaves the old one in place and says why."""
    service.check_open()
    service.audit.note(caller.owner, "reload", "models")
    await service.reload(anew=True)
    return _listed(service)


def _listed(service: Service) -> ModelList:
    models = service.catalogue.models
    default = service.catalogue.default.name if models else ""
    cards = [model_card(model, is_default=model.name == default) for model in models]
    return ModelList(models=cards, refused=service.catalogue.refused)

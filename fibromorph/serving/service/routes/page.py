"""`/`: the page, and the files it is made of."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from fibromorph.serving.service.policies import PAGE_POLICY

PAGE = Path(__file__).parents[1] / "page"
BUILT = Path(__file__).parents[1] / "static"
router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def page() -> FileResponse:
    """The page; it asks for a key itself where one is needed."""
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
    return FileResponse(PAGE / "index.html", headers=headers)


def add_files(app: FastAPI) -> None:
    """Serve the page's own files, and the viewer where it was built."""
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    if BUILT.is_dir():
        app.mount("/static", StaticFiles(directory=BUILT), name="static")

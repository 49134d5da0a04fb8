"""What a browser may do with the pages that the service answers: Content-Security-Policy."""

from __future__ import annotations

from fibromorph.postprocessing.pages import page_script

VIEWER = page_script("viewer.js").policy
"""The one script of reports. It is named in the page's policy, too: a frame whose document the page
has written may do no more than the page."""

PAGE_POLICY = (
    f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {VIEWER}; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "font-src 'self' data:; frame-src 'self' blob:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_REPORT = (
    f"default-src 'none'; script-src {VIEWER}; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'"
)
REPORT_POLICY = f"sandbox allow-scripts; {_REPORT}"
"""A report is data of ours, but it is a page: it runs its viewer, of no origin, and loads nothing.
One of another version, whose viewer is another, has its pictures alone."""

STUDY_POLICY = f"sandbox allow-scripts allow-downloads; {_REPORT}"
"""A study's tables are links to take."""

"""Where a Chromium is, how we start it, and how it prints our pages."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
ARGUMENTS = [
    "--no-sandbox",  # a container's root may not use it, and only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Missing(Exception):
    """Why pages cannot be printed, in one line."""


def find():
    """The path of a Chromium: the one that CHROMIUM names, else one on the PATH, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def print_pages(pages, query="?print-pdf", ready="() => window.ready"):
    """Print pages on the disk, {page: PDF}, each as large as its style says.

    A page is printed when the JavaScript `ready` is true there. Raises Missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing("PDFs are printed with playwright: install the extra `slides`") from None
    path = find()
    if path is None:
        raise Missing("PDFs are printed by Chromium: install it, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for source, target in pages.items():
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(source.as_uri() + query)
            page.wait_for_function(ready)
            page.pdf(path=target, prefer_css_page_size=True, print_background=True)
            page.close()
        browser.close()

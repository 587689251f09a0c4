"""The course as static pages: `make site` writes them to build/site, from the notebooks as they are stored.

Sphinx reads the repository itself, so a link from one file to another is the same link between two pages.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "notebooks")]

project = "aelib"
author = "the makers of aelib"
copyright = "the makers of aelib, under the MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "pages"]
root_doc = "README"
include_patterns = [
    "*.md", "materials/*.md", "materials/teachers/*.md", "materials/site/reference/*.md", "notebooks/*.ipynb",
]  # fmt: skip
templates_path = [str(HERE)]

# what the pages print was computed once, and is stored in them
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no kernel is there to move them: `pages` puts an explorer of its own in their place
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = ["mystnb.unknown_mime_type", "ref.python"]  # `shape` is an attribute of many

default_role = "code"  # docstrings write `name`, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True}
autodoc_inherit_docstrings = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "aelib"
VIEWER = ROOT / "aelib" / "explorers"
html_static_path = [str(f) for f in (HERE / "site.css", VIEWER / "viewer.css", VIEWER / "viewer.js")]
html_css_files = ["site.css", "viewer.css"]
html_extra_path = [str(HERE / "index.html")]
html_copy_source = html_show_sourcelink = False
html_last_updated_fmt = None
mathjax_path = "vendor/mathjax/tex-chtml.js"
html_sidebars = {"**": ["all-pages.html"]}
html_theme_options = {
    "navbar_center": [],
    "navbar_persistent": ["find.html"],  # the theme's own says to a screen reader another word than it shows
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def repository() -> str:
    """owner/name on GitHub, where Binder fetches the pages; empty where nobody says so."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name
    asked = subprocess.run(["git", "remote", "get-url", "origin"], cwd=ROOT, capture_output=True, text=True)
    _, github, name = asked.stdout.strip().removesuffix(".git").partition("github.com")
    return name.lstrip(":/") if github else ""


html_context = {"repository": repository(), "default_mode": "auto"}

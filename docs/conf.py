"""How the site is built: `make docs`. Everything it needs lies here or is installed; nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import spu

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where site_extension.py lies

project, author, version = "spu", "the authors of spu", spu.__version__
release = version
html_title = "spu"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_design",
    "site_extension",
]
exclude_patterns = ["_build", "gallery/*.txt"]
templates_path = ["templates"]

# --- words -------------------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # `page.md#a-heading` is what links say, here and where Git hosts show the files
smartquotes_action = "De"  # dashes and dots; quotes are signs of languages as often as not
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]  # consoles and netlists are shown as they are

# --- the public names --------------------------------------------------------------------------------------
# Docstrings are numpy's. Napoleon reads them instead of numpydoc because types stand in annotations, shapes beside
# them, and docstrings say neither twice: `site_extension.py` puts both where numpy's style has the type.
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
# `Check` and `check` are one file on half of all machines.
autosummary_filename_map = {
    f"spu.{name}": f"spu.{name}_class" for name in spu.__all__ if name[0].isupper() and name.lower() in spu.__all__
}
default_role = "py:obj"
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
nitpicky = True

# --- the site ----------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"  # of site_extension.py
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {page: [] for page in ("index", "gallery", "benchmarks", "limits", "changelog", "contributing")}
copyright = "the authors of spu; GPL-3.0-or-later"

"""Sphinx's settings for the site. `scripts/site` builds it; docs/site/pages.py lays out its sources."""

import os

project = 'econtext'
author = 'The econtext authors'
copyright = author
version = release = os.environ.get('SITE_VERSION', '')
html_title = 'econtext'

extensions = ['myst_parser', 'sphinx_copybutton']
source_suffix = {'.md': 'markdown'}
nitpicky = True
highlight_language = 'none'  # of a listing that names no language

# Markdown as a clone's renderers read it: the anchors of headings, and nothing more.
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = 'furo'
html_static_path = ['static']
html_css_files = ['site.css']
templates_path = ['templates']
html_context = {'many_versions': bool(os.environ.get('SITE_MANY_VERSIONS'))}
html_sidebars = {
    '**': [
        'sidebar/scroll-start.html', 'sidebar/brand.html', 'versions.html', 'sidebar/search.html',
        'sidebar/navigation.html', 'sidebar/scroll-end.html',
    ]
}
html_favicon = 'static/favicon.svg'
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    'light_css_variables': {'color-brand-primary': '#0b6e6e', 'color-brand-content': '#0b6e6e'},
    'dark_css_variables': {'color-brand-primary': '#4fc3b8', 'color-brand-content': '#4fc3b8'},
    'navigation_with_keys': True,
}
pygments_style = 'friendly'
pygments_dark_style = 'monokai'
copybutton_exclude = '.linenos, .gp, .go'

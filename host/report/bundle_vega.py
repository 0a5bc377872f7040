"""Writes the reports' chart library as one script: Vega-Lite and what it needs. Run by CMake: bundle_vega.py OUTPUT

Vega and its parts are under the BSD 3-clause licence, copyright 2013-2025 University of Washington Interactive Data Lab and
others (https://github.com/vega).
"""

import pathlib
import sys

import vl_convert

VEGA_LITE = "6.4"
NOTICE = (f"/* Vega {vl_convert.get_vega_version()}, Vega-Lite {VEGA_LITE}, Vega-Embed {vl_convert.get_vega_embed_version()}: "
          "BSD 3-clause licence, copyright University of Washington Interactive Data Lab and contributors. */\n")

script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
# In a page, "</script" would end the script and "<!--" begin a comment of HTML; inside JavaScript's strings and regular
# expressions, the only places where they can stand, the escaped forms mean the same.
script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
pathlib.Path(sys.argv[1]).write_text(NOTICE + script, encoding="utf-8")

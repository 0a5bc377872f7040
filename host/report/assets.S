// The files of a report, as bytes between two symbols; assets.cpp reads them.
.macro asset name, path
  .global doppel_\name
  .global doppel_\name\()_end
doppel_\name:
  .incbin "\path"
doppel_\name\()_end:
.endm

  .section .rodata
  asset page_head, "host/report/page_head.html"
  asset page_foot, "host/report/page_foot.html"
  asset report_template, "host/report/report.html"
  asset image_report_template, "host/report/image_report.html"
  asset report_style, "host/report/report.css"
  asset report_script, "host/report/report.js"
  asset chart_specs, "host/report/charts.json"
  asset chart_library, "vega.js"

  .section .note.GNU-stack, "", %progbits

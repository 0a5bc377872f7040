# What a report is made of lies inside the library doppel_host: the pages' templates, style and script (host/report/), and the
# chart library, bundled here once from the wheel vl-convert-python.
enable_language(ASM)
set(report_folder ${PROJECT_SOURCE_DIR}/host/report)
set(report_library ${PROJECT_BINARY_DIR}/report_assets/vega.js)
file(GLOB vl_convert_dir ${DOPPEL_DEPS}/lib/python3*/site-packages/vl_convert)
if(NOT vl_convert_dir)
  message(FATAL_ERROR "vl-convert-python, which holds the reports' chart library, is not in ${DOPPEL_DEPS}: run bash cmake/setup.sh first")
endif()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/report_assets)
add_custom_command(OUTPUT ${report_library}
  COMMAND ${DOPPEL_DEPS}/bin/python ${report_folder}/bundle_vega.py ${report_library}
  DEPENDS ${report_folder}/bundle_vega.py COMMENT "Bundling the reports' chart library" VERBATIM)
target_sources(doppel_host PRIVATE host/report/assets.S)
target_include_directories(doppel_host PRIVATE ${PROJECT_BINARY_DIR}/report_assets)
file(GLOB report_files CONFIGURE_DEPENDS ${report_folder}/*.html ${report_folder}/report.css ${report_folder}/report.js
  ${report_folder}/charts.json)
set_property(SOURCE host/report/assets.S PROPERTY OBJECT_DEPENDS "${report_library};${report_files}")

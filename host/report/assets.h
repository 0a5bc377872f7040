// Files that are part of the program: the reports' templates, style and script, the charts' Vega-Lite specifications,
// and the library that draws them (its first line is a comment that names its versions).
#pragma once

#include <string_view>

namespace doppel {

std::string_view page_head();
std::string_view page_foot();
std::string_view report_template();        // of tables
std::string_view image_report_template();  // of images
std::string_view report_style();
std::string_view report_script();
std::string_view chart_specs();
std::string_view chart_library();

}  // namespace doppel

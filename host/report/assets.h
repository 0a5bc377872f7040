// Files that are part of the program: the report's template, style and script, the charts' Vega-Lite specifications,
// and the library that draws them (its first line is a comment that names its versions).
#pragma once

#include <string_view>

namespace doppel {

std::string_view report_template();
std::string_view report_style();
std::string_view report_script();
std::string_view chart_specs();
std::string_view chart_library();

}  // namespace doppel
